import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Activities } from '../../activities/index.ts';
import { approvalPolicy } from '../../activities/kubernetes/approval-policy.ts';
import { namedClusters } from '../../activities/kubernetes/connection.ts';
import { ApprovingUser } from '../../client/cluster-approval.ts';
import { projectDir } from '../../lab/paths.ts';
import { succeeds, waitFor } from '../../lab/process.ts';
import { cutoverValues, coexistenceValues } from '../../model/helm-values.ts';
import { parseInput } from '../../model/input.ts';
import { buildApproval, type ApprovalSpec } from '../../model/migration-approval.ts';
import { createTestActivities } from '../support/activity.ts';
import { useLab } from '../support/lab.ts';
import { apply, bareNode, get } from '../support/objects.ts';
import { timeLimits } from '../support/time-limits.ts';
import { workerAccount } from '../support/worker-account.ts';

/**
 * Approvals as objects of the cluster, with real users: alice and bob may approve, mallory may not. Each activity that
 * destroys something refuses without an approval, and with one that proves nothing.
 */
const lab = useLab({ nodes: 0 });
const manifest = path.join(projectDir, 'deploy', 'approvals', 'approvals.yaml');
const namespace = 'approvers';
const names = { alice: `system:serviceaccount:${namespace}:alice`, bob: `system:serviceaccount:${namespace}:bob` };
const run = { workflowId: 'cni-migration/prod', firstRunId: 'run-1' };
const cluster = 'prod';
let activities: Activities;

beforeAll(async () => {
  await lab().kubectl('create', 'namespace', namespace);
  for (const user of ['alice', 'bob', 'mallory']) await lab().kubectl('create', 'sa', '-n', namespace, user);
  await applyPolicy();
  const role = ['--clusterrole', 'cni-migration-approver'];
  const accounts = ['alice', 'bob'].map((user) => `--serviceaccount=${namespace}:${user}`);
  await lab().kubectl('create', 'clusterrolebinding', 'approvers', ...role, ...accounts);
  const credentials = { file: await workerAccount(lab()), context: lab().layout.context };
  activities = createTestActivities({
    clusters: namedClusters(new Map([[cluster, { ...credentials, approvals: 'authenticated' }]])),
    helm: { binary: lab().catalogue.bin('helm') },
    isOpen: () => Promise.resolve(undefined),
  });
  await apply(lab(), bareNode('a'), bareNode('b'));
  await activities.acquireLock({ cluster, workflowId: run.workflowId, runId: run.firstRunId });
});

/** Applies the policy, and waits until it is in force and a later second has begun. */
async function applyPolicy(): Promise<void> {
  await lab().kubectl('apply', '-f', manifest);
  const file = await writeApproval('probe.json', { user: 'nobody' });
  const args = ['--kubeconfig', lab().layout.kubeconfig, 'create', '--dry-run=server', '-f', file];
  const kinds = ['validatingadmissionpolicy', 'validatingadmissionpolicybinding'];
  const created = await Promise.all(
    kinds.map((kind) => get<{ metadata: { creationTimestamp: string } }>(lab(), kind, approvalPolicy))
  );
  const sinceMs = Math.max(...created.map(({ metadata }) => Date.parse(metadata.creationTimestamp)));
  const isInForce = async (): Promise<boolean> =>
    Date.now() >= sinceMs + 1_000 && !(await succeeds(lab().catalogue.bin('kubectl'), args));
  await waitFor('the policy to be in force', isInForce, { timeoutMs: timeLimits.clusterChange });
}

async function writeApproval(name: string, spec: Partial<ApprovalSpec>): Promise<string> {
  const file = path.join(lab().layout.dir, name);
  await writeFile(file, JSON.stringify(buildApproval({ ...run, planDigest: '', subject: 'plan', user: '', ...spec })));
  return file;
}

/** Returns a user with the credentials of a service account. */
async function user(name: string): Promise<ApprovingUser> {
  const { apiServer, dir, context } = lab().layout;
  const token = (await lab().kubectl('create', 'token', '-n', namespace, name)).trim();
  const shown = await lab().kubectl('config', 'view', '--raw', '--minify', '--flatten', '-o', 'json');
  const { clusters } = JSON.parse(shown) as { clusters: [{ cluster: { 'certificate-authority-data': string } }] };
  const authority = clusters[0].cluster['certificate-authority-data'];
  const config = {
    ...{ apiVersion: 'v1', kind: 'Config', 'current-context': context },
    clusters: [{ name: 'lab', cluster: { server: apiServer, 'certificate-authority-data': authority } }],
    users: [{ name, user: { token } }],
    contexts: [{ name: context, context: { cluster: 'lab', user: name } }],
  };
  const file = path.join(dir, `${name}.kubeconfig`);
  await writeFile(file, JSON.stringify(config), { mode: 0o600 });
  return new ApprovingUser({ file, context }, timeLimits.localChange);
}

/** Creates an approval as alice. @returns its name. */
const approve = async (spec: Partial<ApprovalSpec>): Promise<string> =>
  (await user('alice')).approve({ ...run, planDigest: '', subject: 'plan', user: names.alice, ...spec });

const find = (planDigest = '') => activities.findApprovals({ cluster, steps: ['plan'], planDigest });

const parsed = parseInput({ cluster });
if ('problems' in parsed) throw new Error(parsed.problems.join());
const { input } = parsed;
const release = { cluster, chart: '/nowhere', version: '1' };
const at = '2026-05-01T12:00:00Z';

/** Every activity that needs an approval, with the step. */
const destructive: [name: string, step: string, call: () => Promise<unknown>][] = [
  ['applyHelmRelease', 'the plan', () => activities.applyHelmRelease({ ...release, values: coexistenceValues(input) })],
  ['applyHelmRelease', 'the cutover', () => activities.applyHelmRelease({ ...release, values: cutoverValues(input) })],
  ['applyHelmRelease without values', 'the cutover', () => activities.applyHelmRelease({ ...release, values: {} })],
  ['cordonNode', 'node a', () => activities.cordonNode({ cluster, node: 'a', to: 'cilium' })],
  ['flipNode', 'node a', () => activities.flipNode({ cluster, node: 'a' })],
  [
    'drainNode',
    'node a',
    () => {
      const { podCidr: targetPodCidr, drain: options } = input;
      const rules = { to: 'cilium' as const, daemonSets: false, targetPodCidr, options, forcedPods: [] };
      return activities.drainNode({ cluster, node: 'a', roundSeconds: 0, ...rules });
    },
  ],
  ['keepCanalOffNewNodes', 'the cutover', () => activities.keepCanalOffNewNodes({ cluster })],
  [
    'recordPointOfNoReturn',
    'the cleanup',
    () => activities.recordPointOfNoReturn({ cluster, approval: { by: 'ann', reason: '', at } }),
  ],
  ['removeCanal', 'the cleanup', () => activities.removeCanal({ cluster })],
  ['removeCanalTraces', 'the cleanup', () => activities.removeCanalTraces({ cluster })],
  [
    'cleanHost',
    'the cleanup',
    () => activities.cleanHost({ cluster, node: 'a', traces: 'canal', coexistenceImage: 'x' }),
  ],
];

it.each(destructive)('%s changes nothing without an approval of %s', async (_, step, call) => {
  await expect(call()).rejects.toMatchObject({
    type: 'ApprovalMissing',
    nonRetryable: true,
    message: expect.stringContaining(
      `approves ${step} for the workflow cni-migration/prod (first run run-1)`
    ) as string,
  });
});

it('finds what alice has approved, and no approval of another run or plan', async () => {
  expect(await find()).toMatchObject({
    approvals: [],
    problem: expect.stringContaining('cni-migrate approve') as string,
  });
  await approve({ firstRunId: 'run-0' });
  await approve({ planDigest: 'ff' });
  await approve({ subject: 'cutover' });
  expect(await (await user('alice')).name()).toBe(names.alice);
  expect(await find()).toMatchObject({ problem: expect.stringContaining('it names another run') as string });

  const object = await approve({});

  expect(await find()).toEqual({ approvals: [{ step: 'plan', principal: names.alice, object }] });
  expect(await find('ff')).toMatchObject({ approvals: [{ step: 'plan' }] });
  expect(await find('ee')).toMatchObject({ approvals: [] });
});

it('accepts no approval of a user who may not approve, or who names another user', async () => {
  const spec = { ...run, planDigest: '', subject: 'cleanup' };
  const forged = { ...spec, user: names.alice };

  const [mallory, bob] = [await user('mallory'), await user('bob')];
  const worker = new ApprovingUser({ file: await workerAccount(lab()) }, timeLimits.localChange);

  await expect(mallory.approve({ ...spec, user: `system:serviceaccount:${namespace}:mallory` })).rejects.toThrow(
    'you need the ClusterRole cni-migration-approver'
  );
  await expect(bob.approve(forged)).rejects.toThrow(
    `spec.user must be the user who creates the approval: ${names.bob}`
  );
  await expect(worker.approve(forged)).rejects.toThrow('cannot create resource "migrationapprovals"');
  await expect(activities.removeCanal({ cluster })).rejects.toMatchObject({ type: 'ApprovalMissing' });
});

it('accepts no change of an approval, and no wave without its nodes', async () => {
  const object = await approve({ subject: 'node/b' });
  const patch = (merge: object) =>
    lab().kubectl('patch', 'migrationapproval', object, '--type', 'merge', '-p', JSON.stringify(merge));

  await expect(patch({ spec: { subject: 'cleanup' } })).rejects.toThrow('an approval cannot be changed');
  await expect(patch({ spec: { user: names.bob } })).rejects.toThrow('an approval cannot be changed');
  await patch({ metadata: { labels: { seen: 'yes' } } });
  await expect(approve({ subject: 'wave/1' })).rejects.toThrow('names its nodes');
  await expect(approve({ subject: 'node/b', nodes: ['a'] })).rejects.toThrow('names its nodes');
  await expect(approve({ subject: 'everything' })).rejects.toThrow('spec.subject');
});

it('migrates only the nodes that an approval names, and rolls back every node', async () => {
  const isCordoned = async (node: string): Promise<boolean> =>
    (await get<{ spec: { unschedulable?: boolean } }>(lab(), 'node', node)).spec.unschedulable === true;
  // Of the plan that alice has approved last.
  await approve({});
  await approve({ subject: 'wave/1', nodes: ['a'] });

  await activities.cordonNode({ cluster, node: 'a', to: 'cilium' });
  await lab().kubectl('delete', 'migrationapproval', '--all');

  expect(await isCordoned('a')).toBe(true);
  const other = activities.cordonNode({ cluster, node: 'b', to: 'cilium' });
  await expect(other).rejects.toMatchObject({ type: 'ApprovalMissing' });
  expect(await isCordoned('b')).toBe(false);
  await activities.cordonNode({ cluster, node: 'b', to: 'canal' });
  expect(await isCordoned('b')).toBe(true);
});

it('proves nothing without the policy of this release', async () => {
  await approve({});
  await approve({ subject: 'cutover' });
  const keepOff = () => activities.keepCanalOffNewNodes({ cluster });
  await keepOff();

  await lab().kubectl(
    ...['patch', 'validatingadmissionpolicy', approvalPolicy, '--type', 'json'],
    ...['-p', '[{"op": "replace", "path": "/spec/validations/0/expression", "value": "true"}]']
  );
  await expect(keepOff()).rejects.toMatchObject({
    type: 'ApprovalsUnverifiable',
    nonRetryable: true,
    message: expect.stringContaining(`ValidatingAdmissionPolicy ${approvalPolicy} differs`) as string,
  });
  expect(await find()).toMatchObject({ approvals: [], problem: expect.stringContaining('differs') as string });
  await lab().kubectl('delete', 'validatingadmissionpolicybinding', approvalPolicy);
  await lab().kubectl('delete', 'validatingadmissionpolicy', approvalPolicy);
  await expect(keepOff()).rejects.toThrow(`${approvalPolicy} is missing`);
  // What was created before the policy may name any user.
  await applyPolicy();
  await expect(keepOff()).rejects.toThrow('it is not younger than the policy');
  await approve({ subject: 'cutover' });
  await keepOff();
});

it('needs no approval for the return to coexistence while a rollback of all nodes is recorded', async () => {
  await lab().kubectl('delete', 'migrationapproval', '--all');
  await activities.recordRollback({ cluster, rollback: { by: 'ann', reason: '', at } });

  const returned = activities.applyHelmRelease({ ...release, values: coexistenceValues(input) });

  // Helm finds no chart there.
  await expect(returned).rejects.toMatchObject({ type: 'HelmFailed' });
});
