import { removeNamespace } from '../../activities/helpers/namespace-removal.ts';
import type { NamedObject } from '../../activities/kubernetes/apply.ts';
import { agentImage } from '../../activities/cilium/agents.ts';
import { ifFound } from '../../activities/kubernetes/errors.ts';
import {
  helperNamespace,
  namespaceRecordName,
  namespaceTokenAnnotation,
  noReturnAnnotation,
  ownedLabels,
} from '../../activities/kubernetes/names.ts';
import { readNamespaceRecord } from '../../activities/kubernetes/namespace-record.ts';
import { isNamespaceInUse } from '../../activities/kubernetes/own-namespace.ts';
import { readPointOfNoReturn } from '../../activities/cluster/point-of-no-return.ts';
import { parseInput } from '../../model/input.ts';
import type { CheckOutcome } from '../../model/preflight.ts';
import { waitFor } from '../../lab/process.ts';
import { createLabActivities } from '../support/activity.ts';
import { useRepeatedActivities } from '../support/repeatable-cluster.ts';
import { inNamespace, named } from '../support/repeatable-objects.ts';
import { expectRepeatable } from '../support/repeated-activities.ts';
import { timeLimits } from '../support/time-limits.ts';

const { lab, cluster, connection, apply, remove, state } = useRepeatedActivities(['n1']);
const activities = () => createLabActivities(lab());

const rbac = 'rbac.authorization.k8s.io';
const binding = (name: string, user: object, role = { kind: 'ClusterRole', name: 'edit' }): NamedObject =>
  inNamespace(
    helperNamespace,
    named(`${rbac}/v1`, 'RoleBinding', name, { roleRef: { apiGroup: rbac, ...role }, subjects: [user] }),
    {}
  );
const mallory = { kind: 'User', apiGroup: rbac, name: 'mallory' };
const bindingOfMallory = binding('mallory-edits', mallory);
const podOfMallory = inNamespace(
  helperNamespace,
  named('v1', 'Pod', 'shell', { spec: { nodeName: 'n1', containers: [{ name: 'c', image: 'none' }] } }),
  {}
);
const record = (data: Readonly<Record<string, string>>): NamedObject =>
  inNamespace('kube-system', named('v1', 'ConfigMap', namespaceRecordName, { data }), {});
const approval = { by: 'ann', reason: '', at: '2026-01-01T00:00:00.000Z' };

/** Creates a namespace as a tenant would, who copies all our marks. */
async function createAsTenant(annotations: Readonly<Record<string, string>> = {}): Promise<void> {
  await connection().core.createNamespace({
    body: { metadata: { name: helperNamespace, labels: ownedLabels, annotations } },
  });
}

const readNamespace = () => ifFound(connection().core.readNamespace({ name: helperNamespace }));

/**
 * Removes the namespace and its record. Takes over the work of the namespace controller, which begins it only after 5 s.
 */
async function removeAll(): Promise<void> {
  await remove(record({}));
  const namespace = helperNamespace;
  const { core } = connection();
  const current = await readNamespace();
  if (current === undefined) return;
  const bindings = ['mallory-edits', 'policy-engine', 'prober', 'identity-bridge'];
  await remove(...bindings.map((name) => binding(name, mallory)));
  await core.deleteCollectionNamespacedPod({ namespace, gracePeriodSeconds: 0 });
  await core.deleteNamespace({ name: namespace });
  await ifFound(
    core.replaceNamespaceFinalize({
      name: namespace,
      body: { metadata: { name: namespace }, spec: { finalizers: [] } },
    })
  );
  await waitFor('the end of the namespace', async () => (await readNamespace()) === undefined, {
    timeoutMs: timeLimits.clusterChange,
    pollIntervalMs: 100,
  });
}

async function checkNamespace(): Promise<CheckOutcome | undefined> {
  const parsed = parseInput({ ...cluster(), nodeInspection: false });
  if ('problems' in parsed) throw new Error(parsed.problems.join());
  const outcomes = await activities().runPreflight({ input: parsed.input, only: ['helper-namespace'] });
  return outcomes[0];
}

/** Expects that the check blocks, and that an activity that would use the namespace fails, with these words. */
async function expectRefusal(words: string): Promise<void> {
  const message: unknown = expect.stringContaining(words);
  expect(await checkNamespace()).toMatchObject({ verdict: 'block', evidence: [message] });
  await expect(activities().recordPointOfNoReturn({ ...cluster(), approval })).rejects.toMatchObject({
    type: 'ForeignNamespace',
    nonRetryable: true,
    message,
  });
}

afterEach(removeAll);

it('is created with its record, and recognized after a loss at each of the writes', async () => {
  expect(await checkNamespace()).toMatchObject({ verdict: 'pass' });

  await expectRepeatable(lab(), {
    prepare: removeAll,
    run: ({ recordPointOfNoReturn }) => recordPointOfNoReturn({ ...cluster(), approval }),
    read: () =>
      state(
        [
          ['v1', 'Namespace'],
          ['v1', 'ConfigMap'],
        ],
        (_, name) => [helperNamespace, namespaceRecordName].includes(name)
      ),
  });

  const { metadata } = (await readNamespace()) ?? {};
  expect(metadata?.annotations).toEqual({ [noReturnAnnotation]: JSON.stringify(approval) });
  expect(metadata?.labels?.['pod-security.kubernetes.io/enforce']).toBe('privileged');
  expect(await readNamespaceRecord(connection())).toMatchObject({ createdBy: 'worker', uid: metadata?.uid });
  expect((await readNamespaceRecord(connection()))?.token).toBeUndefined();
  expect(await checkNamespace()).toMatchObject({ verdict: 'pass' });
});

describe('one of a tenant', () => {
  it('is refused and stays as it is; nothing in it counts', async () => {
    await createAsTenant({
      [noReturnAnnotation]: JSON.stringify(approval),
      'cni-live-migration/host-image': 'registry.example/root:1',
    });
    await apply(bindingOfMallory);
    const before = await readNamespace();

    await expectRefusal('was not created for this service');
    await activities().removeHelpers(cluster());
    await activities().removeInspectors(cluster());

    expect(await readNamespace()).toEqual(before);
    expect(await agentImage(connection())).toBeUndefined();
    expect(await readPointOfNoReturn(connection())).toBeUndefined();
    expect(await readNamespaceRecord(connection())).toBeUndefined();
  });

  it('is refused when it replaces ours, and is not deleted instead of it', async () => {
    await activities().recordPointOfNoReturn({ ...cluster(), approval });
    const { uid: own } = (await readNamespace())?.metadata ?? {};
    const { core, ...others } = connection();
    const replaceFirst = async (request: Parameters<typeof core.deleteNamespace>[0]) => {
      const recorded = (await readNamespaceRecord(connection()))?.uid ?? '';
      await removeAll();
      await apply(record({ createdBy: 'worker', uid: recorded }));
      await createAsTenant();
      await expectRefusal('is about another namespace of this name');
      return core.deleteNamespace(request);
    };
    const replaced = new Proxy(core, {
      get: (target, name): unknown => {
        const member: unknown = name === 'deleteNamespace' ? replaceFirst : Reflect.get(target, name);
        return typeof member === 'function' ? (member as () => unknown).bind(target) : member;
      },
    });

    await removeNamespace({ ...others, core: replaced });

    const { metadata } = (await readNamespace()) ?? {};
    expect(metadata?.uid).not.toBe(own);
    expect(metadata?.deletionTimestamp).toBeUndefined();
    expect(await readNamespaceRecord(connection())).toBeUndefined();
  });

  it('is refused for what it contains, also with the token of a record without a UID', async () => {
    await apply(record({ createdBy: 'worker', token: 'copied' }));
    await createAsTenant({ [namespaceTokenAnnotation]: 'copied' });
    const forged = binding('prober', { kind: 'ServiceAccount', name: 'prober', namespace: helperNamespace });
    await apply(forged);

    await expectRefusal('RoleBinding prober');
    expect((await readNamespaceRecord(connection()))?.uid).toBeUndefined();
  });

  it('is refused without the token', async () => {
    await apply(record({ createdBy: 'worker', token: 'secret' }));
    await createAsTenant({ [namespaceTokenAnnotation]: 'guess' });

    await expectRefusal('was not created for this service');
  });
});

it('is refused while it contains role bindings or pods of others, by name', async () => {
  await activities().recordPointOfNoReturn({ ...cluster(), approval });
  await waitFor(
    'the service account',
    async () => {
      const account = { name: 'default', namespace: helperNamespace };
      return (await ifFound(connection().core.readNamespacedServiceAccount(account))) !== undefined;
    },
    { timeoutMs: timeLimits.clusterChange, pollIntervalMs: 100 }
  );
  await apply(
    bindingOfMallory,
    binding('prober', mallory, { kind: 'Role', name: 'prober' }),
    binding(
      'identity-bridge',
      { kind: 'ServiceAccount', name: 'identity-bridge', namespace: helperNamespace },
      {
        kind: 'Role',
        name: 'identity-bridge',
      }
    ),
    podOfMallory
  );

  const message: unknown = expect.stringContaining(': RoleBinding mallory-edits, RoleBinding prober, Pod shell;');
  expect(await checkNamespace()).toMatchObject({ verdict: 'block', evidence: [message] });
  const failure = { type: 'ForeignNamespace', nonRetryable: true, message };
  const target = { node: 'n1', targetPodCidr: '10.245.0.0/16', proberImage: 'prober:1', expected: 'cilium' } as const;
  await expect(activities().verifyNode({ ...cluster(), ...target })).rejects.toMatchObject(failure);
  await expect(activities().recordRollback({ ...cluster(), rollback: approval })).rejects.toMatchObject(failure);
});

describe('one of an administrator', () => {
  const configMap = inNamespace(helperNamespace, named('v1', 'ConfigMap', 'note', { data: { of: 'admin' } }), {});
  const readAll = () =>
    state(
      [
        ['v1', 'Namespace'],
        ['v1', 'ConfigMap'],
        ['v1', 'Pod'],
        ['apps/v1', 'DaemonSet'],
        ['networking.k8s.io/v1', 'NetworkPolicy'],
        ['coordination.k8s.io/v1', 'Lease'],
        [`${rbac}/v1`, 'RoleBinding'],
      ],
      (where, name) =>
        (where === helperNamespace || [helperNamespace, namespaceRecordName].includes(name)) &&
        name !== 'kube-root-ca.crt'
    );

  /** Creates it with the commands of docs/install.md. */
  async function create(): Promise<void> {
    const file = ['-f', 'deploy/namespace.yaml'];
    const uid = await lab().kubectl('create', ...file, '-o', 'jsonpath={.metadata.uid}');
    await apply(record({ createdBy: 'administrator', uid: uid.trim(), roleBindings: 'policy-engine' }));
    await apply(binding('policy-engine', mallory), configMap);
  }

  it('is used, and in the end contains only what is not ours', async () => {
    await create();
    expect(await checkNamespace()).toMatchObject({ verdict: 'pass' });
    expect(await isNamespaceInUse(connection())).toBe(false);
    // With the labels that the first use adds.
    await activities().recordRollback({ ...cluster(), rollback: approval });
    expect(await isNamespaceInUse(connection())).toBe(true);
    await activities().removeHelpers(cluster());
    const unused = await readAll();
    const { uid } = (await readNamespace())?.metadata ?? {};
    const prepare = async (): Promise<void> => {
      await activities().recordPointOfNoReturn({ ...cluster(), approval });
      const spec = { podSelector: {} };
      await apply(
        inNamespace(helperNamespace, named('networking.k8s.io/v1', 'NetworkPolicy', 'prober', { spec })),
        inNamespace(helperNamespace, named('coordination.k8s.io/v1', 'Lease', 'identity-bridge'), {}),
        inNamespace(helperNamespace, named('v1', 'ConfigMap', 'ledger-n1'))
      );
    };

    await expectRepeatable(lab(), {
      prepare,
      run: async ({ removeHelpers }) => removeHelpers(cluster()),
      read: readAll,
      checkInterrupted: async () => {
        // Unfinished until the last write.
        const isEmptied = (await readAll()).join() === unused.join();
        expect(await isNamespaceInUse(connection())).toBe(!isEmptied);
      },
    });

    expect(await readAll()).toEqual(unused);
    expect((await readNamespace())?.metadata).toMatchObject({ uid });
    expect(await isNamespaceInUse(connection())).toBe(false);
    expect(await readNamespaceRecord(connection())).toMatchObject({ createdBy: 'administrator', uid });
  });

  it('is refused when it is gone, and when its record has no UID', async () => {
    await apply(record({ createdBy: 'administrator', uid: 'gone' }));
    await expectRefusal('says that an administrator created it');

    await remove(record({}));
    await apply(record({ createdBy: 'administrator' }));
    await expectRefusal('is not valid: it has no uid');
    expect(await readNamespace()).toBeUndefined();
  });
});
