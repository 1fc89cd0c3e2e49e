import { runInside } from '../../../lab/machine/machine.ts';
import { labMigrationRequest } from '../../../lab/migration-request.ts';
import { preflightWorkflowId } from '../../../workflows/messages.ts';
import type { CheckName, CheckOutcome, PreflightReport } from '../../../model/preflight.ts';
import { clusterState } from '../../support/cluster-state.ts';
import { expectEventually, waitForStableState } from '../../support/wait-until-stable.ts';
import type { RunningLab, SharedLab } from '../../support/shared-lab.ts';
import { TemporalCli } from '../../support/temporal-cli.ts';

const verdicts = (outcomes: readonly CheckOutcome[], verdict: string): string[] =>
  outcomes.filter((outcome) => outcome.verdict === verdict).map(({ check }) => check);

/** The checks before a migration, on real nodes. They leave the lab as it was. */
export function describePreflight(shared: SharedLab): void {
  describe('preflight', () => {
    let running: RunningLab;
    const lab = () => running.lab;
    beforeAll(async () => {
      running = await shared.ready();
    });

    /** Runs the checks alone, as an operator does. */
    async function preflight(more: object = {}): Promise<PreflightReport> {
      const { context } = lab().layout;
      const cli = new TemporalCli(running.temporal, context, preflightWorkflowId(context));
      await cli.start(JSON.stringify(labMigrationRequest(lab(), 'every-node', more)), 'clusterPreflight');
      const { status, result } = await cli.waitForEnd();
      expect(status).toBe('COMPLETED');
      return result as PreflightReport;
    }

    const on = (node: string, ...command: string[]): Promise<unknown> =>
      runInside(lab().layout.machineDir(node), command);

    it('passes a healthy cluster after sending packets between all nodes, and leaves nothing', async () => {
      const before = await waitForStableState(() => clusterState(lab()));
      const { mayStart, outcomes } = await preflight();
      expect(mayStart).toBe(true);
      expect(verdicts(outcomes, 'block')).toEqual([]);
      // kube-proxy is no pod in the lab.
      const known: CheckName[] = ['kube-proxy', 'cluster-dns'];
      expect(verdicts(outcomes, 'warn').filter((check) => !known.includes(check as CheckName))).toEqual([]);
      const tunnel = outcomes.find(({ check }) => check === 'tunnel-path');
      expect(tunnel?.evidence).toEqual(['UDP port 8473: packets answered in all 2 directions between 2 nodes']);
      await expectEventually('the state before the checks', () => clusterState(lab()), before);
    });

    it('blocks for facts that only the nodes provide', async () => {
      const cniFile = '/etc/cni/net.d/99-other.conflist';
      const drop = ['INPUT', '--protocol', 'udp', '--dport', '8473', '--jump', 'DROP'];
      await on('node2', 'iptables', '--insert', ...drop);
      await on('node1', 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/conf/flannel.1/rp_filter');
      await on('node1', 'ip', 'route', 'add', '10.245.7.0/24', 'via', lab().layout.hostAddress);
      await on('node1', 'ip', 'link', 'add', 'vxlan.other', 'type', 'vxlan', 'id', '7', 'dstport', '8474');
      await on('node1', 'ip', 'link', 'add', 'cilium_old', 'type', 'veth', 'peer', 'name', 'old');
      const conf = { cniVersion: '1.0.0', name: 'other', plugins: [{ type: 'multus' }] };
      await on('node1', 'sh', '-c', `echo '${JSON.stringify(conf)}' > ${cniFile}`);
      try {
        const values = { ...labMigrationRequest(lab()).values, MTU: 9000 };
        const { mayStart, outcomes } = await preflight({ policyMode: 'off', values });
        expect(mayStart).toBe(false);
        const evidence = Object.fromEntries(
          outcomes
            .filter(({ verdict }) => verdict === 'block')
            .map((outcome) => [outcome.check, outcome.evidence.join('\n')])
        );
        expect(evidence).toEqual({
          'tunnel-path': 'UDP packets to port 8473 are not answered: node1 to node2 (1 of 2 directions)',
          'rp-filter': 'rp_filter of flannel.1 is 1 on node1',
          'pod-cidr-overlap': '10.245.0.0/16 overlaps with 10.245.7.0/24 (route of node node1 over eth0)',
          'other-cni': 'in /etc/cni/net.d: node1: 99-other.conflist (multus)',
          'cilium-leftovers': 'node1: cilium_old',
          mtu: [
            'values.MTU is 9000, but the smallest MTU of the nodes is 1500',
            "pods on Cilium would send larger packets than the MTU of Flannel's interface allows: " +
              'node1 (Cilium 8950, Canal 1450), node2 (Cilium 8950, Canal 1450)',
          ].join('\n'),
        });
        // Another tunnel port that is taken, and the one that is dropped: a waiver is for one check alone.
        const waivers = [{ check: 'rp-filter', reason: 'a test' }];
        const taken = await preflight({ policyMode: 'off', tunnelPort: 8474, waivers });
        const ports = taken.outcomes.find(({ check }) => check === 'tunnel-port');
        expect(ports?.evidence).toEqual(['node1: interface vxlan.other uses UDP port 8474 for VXLAN 7']);
        expect(taken.outcomes.find(({ check }) => check === 'rp-filter')).toMatchObject({ waived: 'a test' });
      } finally {
        await on('node1', 'rm', cniFile);
        await on('node1', 'ip', 'link', 'del', 'cilium_old');
        await on('node1', 'ip', 'link', 'del', 'vxlan.other');
        await on('node1', 'ip', 'route', 'del', '10.245.7.0/24');
        await on('node1', 'sh', '-c', 'echo 0 > /proc/sys/net/ipv4/conf/flannel.1/rp_filter');
        await on('node2', 'iptables', '--delete', ...drop);
      }
      expect((await preflight()).mayStart).toBe(true);
    });
  });
}
