import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'yaml';
import type { V1ConfigMap, V1DaemonSet } from '@kubernetes/client-node';
import { applyNamespace } from '../../activities/helpers/namespace.ts';
import { bridgeRole } from '../../activities/helpers/names.ts';
import { applyDry, createDry, type NamedObject } from '../../activities/kubernetes/apply.ts';
import { kubeconfigClusters, type ClusterConnection } from '../../activities/kubernetes/connection.ts';
import { helperNamespace } from '../../activities/kubernetes/names.ts';
import { removableDefinitions } from '../../activities/permissions.ts';
import { canalNamespaceLabel } from '../../deploy/admission/rules.ts';
import { imagesConfigMap } from '../../deploy/admission/generate.ts';
import { accountName, accountNamespace } from '../../deploy/rbac/generate.ts';
import { labMigrationRequest } from '../../lab/migration-request.ts';
import { projectDir } from '../../lab/paths.ts';
import { waitFor } from '../../lab/process.ts';
import { coexistenceValues } from '../../model/helm-values.ts';
import { parseInput, type MigrationInput, type MigrationRequest } from '../../model/input.ts';
import { createLabActivities } from '../support/activity.ts';
import { useLab } from '../support/lab.ts';
import { apply, ciliumCrd, decoyCanal, get } from '../support/objects.ts';
import { timeLimits } from '../support/time-limits.ts';
import { workerAccount } from '../support/worker-account.ts';

/**
 * The worker's account with the role and the policies of deploy/: what a migration writes is accepted, and attacks with
 * its credentials are refused.
 */
const lab = useLab({ nodes: 0 });
let kubeconfig: string;
let worker: ClusterConnection;
let administrator: ClusterConnection;

const admissionFile = (name: string): string => path.join(projectDir, 'deploy', 'admission', name);
const cluster = () => ({ cluster: lab().layout.context });

function input(more: Partial<MigrationRequest> = {}): MigrationInput {
  const parsed = parseInput(labMigrationRequest(lab(), 'none', { nodeInspection: false, ...more }));
  if ('problems' in parsed) throw new Error(parsed.problems.join('\n'));
  return parsed.input;
}

beforeAll(async () => {
  kubeconfig = await workerAccount(lab());
  const images = parse(await readFile(admissionFile('images.yaml'), 'utf8')) as V1ConfigMap;
  await apply(lab(), { ...images, data: { images: '# of the lab\nquay.io/cilium\ncni-live-migration\n' } });
  await lab().kubectl('apply', '--server-side', '-f', admissionFile('worker.yaml'));
  await lab().kubectl('apply', '--server-side', '-f', lab().catalogue.canalManifest);
  await apply(lab(), { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'dev-team' } });
  await apply(lab(), decoyCanal('dev-team', 'canal'));
  const connect = (file: string) => kubeconfigClusters(file).connect(lab().layout.context);
  [worker, administrator] = [await connect(kubeconfig), await connect(lab().layout.kubeconfig)];
  await waitForRefusal('a privileged pod elsewhere');
  await waitForRefusal('a role with every permission');
});

describe('a migration', () => {
  it('is accepted: every object of the chart and of the helpers, as a dry run', async () => {
    const { runPreflight } = createLabActivities(lab(), kubeconfig);

    // The values of the lab, and those of the chart.
    for (const values of [undefined, {}]) {
      const more = values === undefined ? {} : { values };
      const [outcome] = await runPreflight({ input: input(more), only: ['server-dry-run'] });
      expect(outcome).toMatchObject({ verdict: 'pass' });
    }
  });

  it('is accepted: the installation of Cilium, its removal, and the removal of Canal', async () => {
    const { chart, chartVersion: version, ...request } = input();
    const activities = createLabActivities(lab(), kubeconfig);
    const canal = () => get<V1DaemonSet>(lab(), 'daemonset', '-n', 'kube-system', 'canal');

    await activities.applyCniChain(cluster());
    const values = coexistenceValues({ chart, chartVersion: version, ...request });
    await activities.applyHelmRelease({ ...cluster(), chart, version, values });
    await activities.keepCanalOffNewNodes(cluster());
    expect((await canal()).spec?.updateStrategy?.type).toBe('OnDelete');
    await activities.letCanalOnAllNodes(cluster());
    await activities.uninstallCilium(cluster());
    await activities.removeCiliumTraces(cluster());
    await activities.exportCalico(cluster());
    await activities.removeCanal(cluster());
    await activities.removeCanalTraces(cluster());

    const left = await lab().kubectl('get', 'daemonsets,deployments,crds,secrets', '-n', 'kube-system', '-o', 'name');
    expect(left.split('\n').filter((name) => /cilium|canal|calico/.test(name))).toEqual([]);
  });

  it('needs no definition whose deletion the role does not grant', async () => {
    const manifest = await readFile(lab().catalogue.canalManifest, 'utf8');

    const names = [
      ...manifest.matchAll(/^ {2}name: (\S+\.(?:crd\.projectcalico\.org|policy\.networking\.k8s\.io))$/gm),
    ];

    expect(names.length).toBeGreaterThan(10);
    for (const [, name = ''] of names) expect(removableDefinitions).toContain(name);
  });
});

it.each([
  ['delete', 'namespaces', 'kube-system'],
  ['patch', 'namespaces', 'kube-system'],
  ['delete', 'customresourcedefinitions.apiextensions.k8s.io', 'widgets.example.com'],
  ['delete', 'poddisruptionbudgets.policy', 'shop'],
])('has no permission to %s %s %s', async (verb, resource, name) => {
  const account = `system:serviceaccount:${accountNamespace}:${accountName}`;
  const question = ['auth', 'can-i', verb, `${resource}/${name}`, '--as', account, '--namespace', 'default'];

  // Exits with an error when the answer is no.
  await expect(lab().kubectl(...question)).rejects.toThrow();
});

const rbac = 'rbac.authorization.k8s.io';
const role = (kind: string, metadata: object, rules: object[]) => ({ apiVersion: `${rbac}/v1`, kind, metadata, rules });
const bridge = (rule: object) => role('ClusterRole', { name: bridgeRole }, [rule]);
const binding = (kind: string, metadata: object, name: string, subjects: object[]) => ({
  apiVersion: `${rbac}/v1`,
  kind,
  metadata,
  roleRef: { apiGroup: rbac, kind: 'ClusterRole', name },
  subjects,
});
const workerSubject = { kind: 'ServiceAccount', name: accountName, namespace: accountNamespace };
const good = 'quay.io/cilium/cilium:v1.20.2';
const podSpec = (image: string, more: object = {}) => ({ containers: [{ name: 'c', image }], ...more });
const pod = (namespace: string, name: string, image: string, more: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace },
  spec: podSpec(image, more),
});
const workload = (kind: string, namespace: string, name: string, spec: object) => ({
  apiVersion: 'apps/v1',
  kind,
  metadata: { name, namespace },
  spec: { selector: { matchLabels: { x: 'y' } }, template: { metadata: { labels: { x: 'y' } }, spec } },
});
const named = (apiVersion: string, kind: string, name: string, namespace?: string, more: object = {}) => ({
  apiVersion,
  kind,
  metadata: { name, ...(namespace !== undefined && { namespace }) },
  ...more,
});
const privileged = {
  containers: [{ name: 'c', image: good, securityContext: { privileged: true } }],
  volumes: [{ name: 'host', hostPath: { path: '/' } }],
};

type Attempt = (connection: ClusterConnection) => Promise<unknown>;
const write =
  (object: object): Attempt =>
  (connection) =>
    applyDry(connection, object as NamedObject);
const create =
  (object: object): Attempt =>
  (connection) =>
    createDry(connection, object as NamedObject);
const remove =
  (object: object): Attempt =>
  ({ objects }) =>
    objects.delete(object, undefined, 'All');

/** What an attack is, the write, and part of the answer. */
const attacks: [what: string, attempt: Attempt, message: string][] = [
  [
    'a role with every permission',
    write(bridge({ apiGroups: ['*'], resources: ['*'], verbs: ['*'] })),
    'put a wildcard',
  ],
  ['a role that escalates', write(bridge({ apiGroups: [''], resources: ['x'], verbs: ['bind'] })), 'put a wildcard'],
  [
    'a role that removes this policy',
    write(bridge({ apiGroups: ['admissionregistration.k8s.io'], resources: ['x'], verbs: ['delete'] })),
    'put a wildcard',
  ],
  ['a role with exec', write(bridge({ apiGroups: [''], resources: ['pods/exec'], verbs: ['create'] })), 'put a wildc'],
  [
    'a role that reads Secrets',
    write(bridge({ apiGroups: [''], resources: ['secrets'], verbs: ['get'] })),
    'access to Secrets outside of kube-system',
  ],
  [
    'a role that starts pods',
    write(bridge({ apiGroups: [''], resources: ['pods'], verbs: ['create'] })),
    'grant the creation of pods',
  ],
  ['a role of another name', write(role('ClusterRole', { name: 'view' }, [])), 'write the ClusterRole view'],
  [
    'its own role',
    write(role('Role', { name: accountName, namespace: 'kube-system' }, [])),
    `write roles kube-system/${accountName}`,
  ],
  [
    'a binding of a role to itself',
    write(binding('ClusterRoleBinding', { name: bridgeRole }, bridgeRole, [workerSubject])),
    'give permissions to accounts',
  ],
  [
    'a binding of another name',
    write(binding('ClusterRoleBinding', { name: 'mine' }, 'cluster-admin', [workerSubject])),
    'write the ClusterRoleBinding mine',
  ],
  ['the deletion of a role', remove(named(`${rbac}/v1`, 'ClusterRole', 'cluster-admin')), 'ClusterRole cluster-admin'],
  [
    'a privileged pod elsewhere',
    create(named('v1', 'Pod', 'p', 'default', { spec: privileged })),
    'write pods default/p',
  ],
  ['a Deployment elsewhere', write(workload('Deployment', 'default', 'd', podSpec(good))), 'deployments default/d'],
  [
    'a DaemonSet of kube-system',
    write(workload('DaemonSet', 'kube-system', 'kube-proxy', podSpec(good))),
    'only objects',
  ],
  [
    'an account of a controller',
    write(workload('Deployment', 'kube-system', 'cilium-x', podSpec(good, { serviceAccountName: 'job-controller' }))),
    'start pods with the account job-controller',
  ],
  ['another image', create(pod(helperNamespace, 'p', 'evil.example/x')), 'start evil.example/x'],
  ['an image with a similar name', create(pod(helperNamespace, 'p', 'quay.io/ciliumx/y')), 'start quay.io/ciliumx/y'],
  [
    'an image above a repository',
    create(pod(helperNamespace, 'p', 'quay.io/cilium/../x/y')),
    'start quay.io/cilium/..',
  ],
  [
    'another image in an init container',
    create(pod(helperNamespace, 'p', good, { initContainers: [{ name: 'i', image: 'evil.example/x' }] })),
    'start evil.example/x',
  ],
  [
    'another image as a volume',
    create(pod(helperNamespace, 'p', good, { volumes: [{ name: 'v', image: { reference: 'evil.example/x' } }] })),
    'start evil.example/x',
  ],
  [
    'another image in a CronJob',
    write({
      ...named('batch/v1', 'CronJob', 'c', helperNamespace),
      spec: {
        schedule: '* * * * *',
        jobTemplate: { spec: { template: { spec: podSpec('evil.example/x', { restartPolicy: 'Never' }) } } },
      },
    }),
    'start evil.example/x',
  ],
  ['the deletion of a namespace', remove(named('v1', 'Namespace', 'dev-team')), 'write the namespace dev-team'],
  ['a change of kube-system', write(named('v1', 'Namespace', 'kube-system')), 'write the namespace kube-system'],
  ['another namespace', write(named('v1', 'Namespace', 'mine')), 'write the namespace mine'],
  [
    'the deletion of the definition of others',
    remove(named('apiextensions.k8s.io/v1', 'CustomResourceDefinition', 'widgets.example.com')),
    'write the definition widgets.example.com',
  ],
  ['a Secret elsewhere', write(named('v1', 'Secret', 's', 'default')), 'write secrets default/s'],
  [
    "a Secret with an account's token",
    write({
      ...named('v1', 'Secret', 'cilium-token', 'kube-system'),
      metadata: {
        name: 'cilium-token',
        namespace: 'kube-system',
        annotations: { 'kubernetes.io/service-account.name': 'job-controller' },
      },
      type: 'kubernetes.io/service-account-token',
    }),
    'only Secrets of Cilium',
  ],
  [
    "the API server's own configuration",
    write(named('v1', 'ConfigMap', 'extension-apiserver-authentication', 'kube-system', { data: {} })),
    'only objects of Cilium',
  ],
  [
    'the list of its images',
    write(named('v1', 'ConfigMap', imagesConfigMap, accountNamespace, { data: { images: 'evil.example' } })),
    `write configmaps ${accountNamespace}/${imagesConfigMap}`,
  ],
  ["a tenant's Canal", remove(named('apps/v1', 'DaemonSet', 'canal', 'dev-team')), 'write daemonsets dev-team/canal'],
];

const isRefused = (attempt: Attempt): Promise<boolean> =>
  attempt(worker).then(
    () => false,
    (error: unknown) => String(error).includes('ValidatingAdmissionPolicy')
  );

/** Waits until a policy refuses what the role allows: the API server reads policies and roles with a delay. */
async function waitForRefusal(what: string): Promise<void> {
  const [, attempt] = attacks.find(([name]) => name === what) ?? [];
  if (attempt === undefined) throw new Error(`there is no attack ${what}`);
  await waitFor(`the refusal of ${what}`, () => isRefused(attempt), { timeoutMs: timeLimits.clusterChange });
}

/** With every permission, so that only the policies are left to refuse a write. */
describe('stolen credentials, with every permission', () => {
  beforeAll(async () => {
    await applyNamespace(worker);
    await apply(
      lab(),
      binding('ClusterRoleBinding', { name: 'everything' }, 'cluster-admin', [workerSubject]),
      definition('widgets.example.com')
    );
    await waitForRefusal('the deletion of a namespace');
    await lab().kubectl('wait', '--for=create', 'serviceaccount/default', '-n', helperNamespace, '--timeout=60s');
  });

  it.each(attacks)('cannot be used for %s', async (_what, attempt, message) => {
    const refused = expect.objectContaining({ code: 403 }) as Error;

    await expect(attempt(worker)).rejects.toEqual(refused);
    await expect(attempt(worker)).rejects.toThrow(message);
  });

  it('can remove Canal from a namespace that an administrator has labelled', async () => {
    await lab().kubectl('label', 'namespace', 'dev-team', `${canalNamespaceLabel}=true`);
    const removal = remove(named('apps/v1', 'DaemonSet', 'canal', 'dev-team'));

    const isAccepted = async (): Promise<boolean> => !(await isRefused(removal));

    await waitFor('the label', isAccepted, { timeoutMs: timeLimits.clusterChange });
  });

  it.each([
    'quay.io/cilium/operator-generic:v1.20.2',
    'registry.example.com:5000/team/prober:2',
    `registry.example.com/prober:1@sha256:${'a'.repeat(64)}`,
    `registry.example.com/prober@sha256:${'a'.repeat(64)}`,
  ])('can start %s, which the list allows', async (image) => {
    const allowed = `quay.io/cilium\nregistry.example.com:5000\nregistry.example.com/prober@sha256:${'a'.repeat(64)}`;
    await apply(lab(), named('v1', 'ConfigMap', imagesConfigMap, accountNamespace, { data: { images: allowed } }));

    const isAccepted = async (): Promise<boolean> => !(await isRefused(create(pod(helperNamespace, 'p', image))));

    await waitFor('the list', isAccepted, { timeoutMs: timeLimits.clusterChange });
    expect(await isRefused(create(pod(helperNamespace, 'p', 'registry.example.com/prober:1')))).toBe(true);
  });

  it('are limited as those of no other user, even without the list of images', async () => {
    const others = attacks.filter(([what]) => !what.startsWith('the deletion') && what !== "a tenant's Canal");

    const results = () => Promise.all(others.map(async ([, attempt]) => attempt(administrator).catch(String)));
    const before = await results();
    await lab().kubectl('delete', 'configmap', '-n', accountNamespace, imagesConfigMap);
    const after = await results();

    for (const result of [...before, ...after]) expect(String(result)).not.toContain('ValidatingAdmissionPolicy');
    expect(await isRefused(create(pod('default', 'p', good)))).toBe(true);
  });
});

/** Returns a definition of others. */
function definition(name: string): object {
  const [plural = '', ...group] = name.split('.');
  const crd = ciliumCrd('Widget', plural, 'Namespaced') as { spec: object };
  return { ...crd, metadata: { name }, spec: { ...crd.spec, group: group.join('.') } };
}
