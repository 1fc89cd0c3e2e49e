import { gunzipSync } from 'node:zlib';
import type { V1ConfigMap, V1Node, V1PodList } from '@kubernetes/client-node';
import type { Lab } from '../../../lab/cluster/lab.ts';
import { runInside } from '../../../lab/machine/machine.ts';
import { labMigrationRequest, targetPodCidr } from '../../../lab/migration-request.ts';
import { contains } from '../../../model/networks.ts';
import type { MigrationStatus } from '../../../model/status.ts';
import { read } from '../../support/reads.ts';
import type { SharedLab } from '../../support/shared-lab.ts';
import { TemporalCli } from '../../support/temporal-cli.ts';
import { timeLimits } from '../../support/time-limits.ts';

/**
 * Drops every packet of Cilium's overlay between the nodes where it arrives, as a firewall would. In the table "raw",
 * because Felix and Cilium put their own rules before others' in the usual ones.
 */
async function blackhole({ layout }: Lab, action: '--insert' | '--delete'): Promise<void> {
  for (const node of layout.nodeNames) {
    const rule = ['PREROUTING', '--protocol', 'udp', '--dport', '8473', '--jump', 'DROP'];
    await runInside(layout.machineDir(node), ['iptables', '--wait', '--table', 'raw', action, ...rule]);
  }
}

/** Tests a firewall that drops Cilium's overlay during a migration. It leaves the lab with Cilium. */
export function describeBlackhole(shared: SharedLab): void {
  it(
    'stops at a node whose overlay is blocked, rolls it back, names the cause, and continues when it is repaired',
    async () => {
      const { lab, temporal } = await shared.ready();
      const cli = new TemporalCli(temporal, lab.layout.context);

      await cli.start(JSON.stringify(labMigrationRequest(lab, 'every-node', { onFailure: 'rollback' })));
      await cli.approvePlan();
      await cli.approve('node1');
      await cli.waitForNode('node1', 'migrated');

      await blackhole(lab, '--insert');
      await cli.approve('node2');
      await cli.waitForNode('node2', 'rolled-back');
      // A node is rolled back a moment before the whole migration waits for an operator.
      const waits = ({ waitingFor }: MigrationStatus): boolean => waitingFor !== undefined;
      const { nodes, waitingFor } = await cli.waitForStatus('the migration to wait', waits, timeLimits.clusterChange);
      const failure = nodes.find(({ name }) => name === 'node2')?.failure;
      expect(failure?.type).toBe('VerificationFailed');
      expect(failure?.message).toMatch(/packets of Cilium's overlay are lost (between|to and from) .*node2/);
      expect(failure?.message).toContain('allow UDP port 8473 between all nodes');
      expect(waitingFor).toBe('a decision about node2 (VerificationFailed)');

      // After the rollback, the node is on Canal, and schedulable.
      const { spec } = await read<V1Node>(lab, 'node', 'node2');
      expect(spec?.unschedulable).toBeUndefined();
      const onNode2 = async (): Promise<string[]> => {
        const { items } = await read<V1PodList>(lab, 'pods', '-A', '--field-selector', 'spec.nodeName=node2');
        return items.flatMap((pod) => (pod.spec?.hostNetwork === true ? [] : (pod.status?.podIP ?? [])));
      };
      expect((await onNode2()).filter((ip) => contains(targetPodCidr, ip))).toEqual([]);

      // The diagnostics of the node are kept, and contain no secret.
      expect(failure?.message).toContain('ConfigMap diagnostics-node2 in cni-live-migration');
      const map = await read<V1ConfigMap>(lab, 'configmap', '-n', 'cni-live-migration', 'diagnostics-node2');
      const text = gunzipSync(Buffer.from(map.binaryData?.['node.txt.gz'] ?? '', 'base64')).toString();
      for (const part of [
        'Cilium health daemon:',
        'ENDPOINT',
        'cilium_drop_count_total',
        '05-cilium.conflist',
        'cilium_vxlan',
        '10.244.',
      ]) {
        expect({ part, there: text.includes(part), text: text.includes(part) ? '' : text.slice(0, 5_000) }).toEqual({
          part,
          there: true,
          text: '',
        });
      }
      expect(text).not.toMatch(/BEGIN [A-Z ]*PRIVATE KEY|eyJhbGciOi|client-key-data: [^<]/);

      await blackhole(lab, '--delete');
      await cli.send('retry', { node: 'node2' });
      await cli.approve('node2');
      await cli.waitForNode('node2', 'migrated');
      await cli.approveCutover();
      await cli.waitForCleanup();
      expect((await onNode2()).filter((ip) => !contains(targetPodCidr, ip))).toEqual([]);
    },
    timeLimits.wholeMigration
  );
}
