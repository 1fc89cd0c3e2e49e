import {
  helperNamespace,
  namespaceRecordName,
  noReturnAnnotation,
  ownedLabels,
  rollbackBegunAnnotation,
  unfinishedAnnotation,
} from '../../activities/kubernetes/names.ts';
import { patchNamespaceAnnotations } from '../../activities/kubernetes/own-namespace.ts';
import { ciliumApi, customResource, useRepeatedActivities } from '../support/repeatable-cluster.ts';
import { inNamespace, named, nodeWith, ownNamespace, workloads } from '../support/repeatable-objects.ts';
import type { RepeatableCases } from '../support/repeated-activities.ts';
import type { NamedObject } from '../../activities/kubernetes/apply.ts';

const nodes = ['n1', 'n2'];
const { cluster, connection, apply, state, waitForPod, expectEachRepeatable } = useRepeatedActivities(nodes);

const ownDaemonSet = (name: string): NamedObject =>
  inNamespace(
    helperNamespace,
    named('apps/v1', 'DaemonSet', name, {
      spec: {
        selector: { matchLabels: { app: name } },
        updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '100%' } },
        template: {
          metadata: { labels: { app: name, ...ownedLabels } },
          spec: { containers: [{ name, image: 'none' }] },
        },
      },
    })
  );

const isNode = (_: string | undefined, name: string): boolean => nodes.includes(name);
const target = { targetPodCidr: '10.245.0.0/16' };

/** Gives our namespace these records, and no others. */
async function prepareRecords(records: Readonly<Record<string, string>>): Promise<void> {
  await apply(ownNamespace);
  const none = { [noReturnAnnotation]: null, [rollbackBegunAnnotation]: null, [unfinishedAnnotation]: null };
  await patchNamespaceAnnotations(connection(), { ...none, ...records });
}

const cases: RepeatableCases<'helpers'> = {
  removeHelpers: {
    prepare: async () => {
      await apply(ownNamespace, ownDaemonSet('nat-exemption'), ownDaemonSet('prober'));
      const annotations = { 'cni-live-migration/cordoned': 'true', 'cni-live-migration/boot-before': 'x' };
      const metadata = { labels: { 'io.cilium.migration/cilium-default': 'true' }, annotations };
      await apply(...nodes.map((name) => nodeWith(name, metadata, { unschedulable: true })));
    },
    run: ({ removeHelpers }) => removeHelpers(cluster()),
    read: () =>
      state(
        [
          ['v1', 'Namespace'],
          ['v1', 'ConfigMap'],
          ['v1', 'Node'],
        ],
        (_, name) => [helperNamespace, namespaceRecordName].includes(name) || isNode(_, name)
      ),
  },
  recordPointOfNoReturn: {
    prepare: () => prepareRecords({}),
    run: ({ recordPointOfNoReturn }) =>
      recordPointOfNoReturn({ ...cluster(), approval: { by: 'ann', reason: '', at: '2026-01-01T00:00:00.000Z' } }),
    read: () => state([['v1', 'Namespace']], (_, name) => name === helperNamespace),
  },
  recordUnfinished: {
    prepare: () => prepareRecords({}),
    run: ({ recordUnfinished }) => {
      const at = '2026-01-01T00:00:00.000Z';
      const skipped = { by: 'ann', reason: '', at };
      const nodes = [{ node: 'n2', since: at, work: ['clean-canal' as const], skipped }];
      return recordUnfinished({ ...cluster(), record: { onlyNodes: true, nodes } });
    },
    read: () => state([['v1', 'Namespace']], (_, name) => name === helperNamespace),
  },
  recordRollback: {
    prepare: () => prepareRecords({}),
    run: ({ recordRollback }) =>
      recordRollback({ ...cluster(), rollback: { by: 'ann', reason: '', at: '2026-01-01T00:00:00.000Z' } }),
    read: () => state([['v1', 'Namespace']], (_, name) => name === helperNamespace),
  },
  removeRollbackRecord: {
    prepare: () => prepareRecords({ [rollbackBegunAnnotation]: '{}' }),
    run: ({ removeRollbackRecord }) => removeRollbackRecord(cluster()),
    read: () => state([['v1', 'Namespace']], (_, name) => name === helperNamespace),
  },
  removeIdentityBridge: {
    prepare: async () => {
      const rbac = 'rbac.authorization.k8s.io';
      const role = 'cni-live-migration-identity-bridge';
      await apply(customResource(ciliumApi, 'CiliumEndpoint', 'Namespaced'), ownNamespace);
      const spec = { containers: [{ name: 'c', image: 'none' }], tolerations: [{ operator: 'Exists' }] };
      const labels = { app: 'identity-bridge', ...ownedLabels };
      await apply(
        inNamespace(
          helperNamespace,
          named('apps/v1', 'Deployment', 'identity-bridge', {
            spec: { replicas: 2, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
          })
        ),
        named(`${rbac}/v1`, 'ClusterRole', role),
        named(`${rbac}/v1`, 'ClusterRoleBinding', role, {
          roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: role },
        }),
        ...['a', 'b'].map((name) => inNamespace('default', named('cilium.io/v2', 'CiliumEndpoint', name))),
        {
          ...inNamespace('default', named('v1', 'Pod', 'moved', { spec: { ...spec, nodeName: 'n1' } })),
          metadata: {
            name: 'moved',
            namespace: 'default',
            annotations: { 'cni.projectcalico.org/podIP': '10.245.0.1/32' },
          },
        }
      );
      await waitForPod('default', 'moved');
    },
    run: ({ removeIdentityBridge }) => removeIdentityBridge({ ...cluster(), ...target }),
    read: () =>
      state(
        [...workloads, ['cilium.io/v2', 'CiliumEndpoint']],
        (where, name) => where === 'default' || name.includes('identity-bridge')
      ),
  },
  removeInspectors: {
    prepare: async () => {
      await apply(ownNamespace);
      await apply(
        ...nodes.map((nodeName) =>
          inNamespace(
            helperNamespace,
            named('v1', 'Pod', `inspect-${nodeName}`, {
              spec: { nodeName, containers: [{ name: 'c', image: 'none' }] },
            }),
            { app: 'inspect' }
          )
        )
      );
    },
    run: ({ removeInspectors }) => removeInspectors(cluster()),
    read: () =>
      state(
        [
          ['v1', 'Namespace'],
          ['v1', 'ConfigMap'],
          ['v1', 'Pod'],
        ],
        (where, name) => [where, name].includes(helperNamespace) || name === namespaceRecordName
      ),
  },
};

expectEachRepeatable(cases);
