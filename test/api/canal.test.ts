import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { KubernetesObject, V1ConfigMap, V1Node } from '@kubernetes/client-node';
import { projectDir } from '../../lab/paths.ts';
import { run } from '../../lab/process.ts';
import type { Activities } from '../../activities/index.ts';
import { namedClusters } from '../../activities/kubernetes/connection.ts';
import { labMigrationRequest } from '../../lab/migration-request.ts';
import { parseInput } from '../../model/input.ts';
import { createLabActivities, createTestActivities } from '../support/activity.ts';
import { useLab } from '../support/lab.ts';
import { apply, bareNode, barePod, decoyCanal, get } from '../support/objects.ts';

const lab = useLab({ nodes: 0 });
const cluster = () => ({ cluster: lab().layout.context });

const names = async (...what: string[]): Promise<string[]> =>
  (await lab().kubectl('get', ...what, '-o', 'name')).split('\n').filter(Boolean);

it('detects a cluster without Canal', async () => {
  const inspecting = createLabActivities(lab()).inspectCluster(cluster());
  await expect(inspecting).rejects.toMatchObject({ type: 'SourceNotFound', nonRetryable: true });
});

it('reads Canal', async () => {
  await lab().kubectl('apply', '--server-side', '-f', lab().catalogue.canalManifest);
  await lab().kubectl('wait', '--for=condition=Established', 'crd/ippools.crd.projectcalico.org', '--timeout=60s');
  await apply(lab(), bareNode('n1'), {
    apiVersion: 'crd.projectcalico.org/v1',
    kind: 'IPPool',
    metadata: { name: 'extra' },
    spec: { cidr: '172.30.0.0/16' },
  });
  const facts = await createLabActivities(lab()).inspectCluster(cluster());
  expect(facts).toMatchObject({
    kubernetesVersion: 'v1.36.3',
    canal: { version: 'v3.28.5', podCidr: '10.244.0.0/16', vni: 1, port: 8472 },
    ciliumOwnsCni: false,
    leftovers: false,
  });
});

/** Returns the activities of a worker whose file names these namespaces for Canal. */
function activitiesIn(canalNamespaces: string[] = [], sleep?: () => Promise<void>): Activities {
  const { context, kubeconfig } = lab().layout;
  const clusters = namedClusters(new Map([[context, { file: kubeconfig, context, canalNamespaces }]]));
  const helm = { binary: lab().catalogue.bin('helm') };
  return createTestActivities({ clusters, helm, isOpen: () => Promise.resolve(undefined) }, sleep);
}

describe('next to other DaemonSets that look like Canal', () => {
  const checkSource = async (activities: Activities) => {
    const parsed = parseInput(labMigrationRequest(lab(), 'none', { nodeInspection: false }));
    if ('problems' in parsed) throw new Error(parsed.problems.join());
    const [outcome] = await activities.runPreflight({ input: parsed.input, only: ['source-network'] });
    return outcome;
  };
  const several = {
    ...{ type: 'SourceAmbiguous', nonRetryable: true },
    message: expect.stringContaining('dev-team/canal, kube-system/canal') as string,
  };

  beforeAll(async () => {
    const config = {
      'net-conf.json': JSON.stringify({ Network: '10.99.0.0/16', Backend: { Type: 'vxlan' } }),
      cni_network_config: JSON.stringify({ name: 'x', plugins: [{ type: 'calico' }, { type: 'tuning' }] }),
    };
    await apply(
      lab(),
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'dev-team' } },
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'canal-config', namespace: 'dev-team' }, data: config },
      // Before kube-system in every list.
      decoyCanal('dev-team', 'canal')
    );
  });
  afterAll(() => lab().kubectl('delete', 'namespace', 'dev-team'));

  it('uses that of kube-system, and reports the others as ignored', async () => {
    const activities = activitiesIn();

    const facts = await activities.inspectCluster(cluster());
    await activities.applyCniChain(cluster());
    const outcome = await checkSource(activities);

    expect(facts.canal?.podCidr).toBe('10.244.0.0/16');
    const chain = await get<V1ConfigMap>(lab(), 'configmap', '-n', 'kube-system', 'cilium-cni-chain');
    expect(JSON.stringify(chain.data)).not.toContain('tuning');
    expect(outcome).toMatchObject({ verdict: 'warn' });
    expect(outcome?.evidence.join('\n')).toContain('recognised only in kube-system: dev-team/canal');
    await lab().kubectl('delete', 'configmap', '-n', 'kube-system', 'cilium-cni-chain');
  });

  it('blocks, and changes nothing, when two are in namespaces of the worker', async () => {
    const activities = activitiesIn(['dev-team']);

    const outcome = await checkSource(activities);
    const failures = await Promise.all(
      [activities.inspectCluster(cluster()), activities.removeCanal(cluster())].map((act) =>
        act.then(
          () => undefined,
          (error: unknown) => error
        )
      )
    );

    expect(outcome).toMatchObject({ verdict: 'block' });
    expect(outcome?.evidence[0]).toContain('2 DaemonSets look like Canal: dev-team/canal, kube-system/canal');
    for (const failure of failures) expect(failure).toMatchObject(several);
    expect(await names('daemonsets,configmaps', '-n', 'kube-system')).toEqual(
      expect.arrayContaining(['daemonset.apps/canal', 'configmap/canal-config'])
    );
  });
});

describe('the export', () => {
  const pool = (index: number) => ({
    apiVersion: 'crd.projectcalico.org/v1',
    kind: 'GlobalNetworkSet',
    // Random, so that the sets do not compress into one ConfigMap.
    metadata: { name: `set-${index}`, annotations: { blob: randomBytes(60_000).toString('base64') } },
    spec: { nets: ['192.0.2.0/24'] },
  });

  it('contains every object in as many ConfigMaps as needed, and is reproducible', async () => {
    for (let index = 0; index < 12; index++) await apply(lab(), pool(index));
    const { exportCalico } = createLabActivities(lab());
    const names = await exportCalico(cluster());
    expect(names.length).toBeGreaterThan(1);
    expect(await exportCalico(cluster())).toEqual(names);
    const objects = await readExport(names);
    expect(objects.map(({ kind, metadata }) => `${kind} ${metadata?.name}`)).toEqual(
      expect.arrayContaining(['IPPool extra', 'GlobalNetworkSet set-0', 'GlobalNetworkSet set-11'])
    );
    expect(objects.every(({ metadata }) => metadata?.uid === undefined)).toBe(true);
  });

  it('can be applied with the documented command', async () => {
    const { kubeconfig } = lab().layout;
    await lab().kubectl('delete', 'ippools.crd.projectcalico.org', 'extra');
    const documented = await documentedCommand('docs/migrating.md', 'calico-export');
    await run('bash', ['-c', documented], {
      env: {
        ...process.env,
        KUBECONFIG: kubeconfig,
        PATH: `${path.dirname(lab().catalogue.bin('kubectl'))}:${process.env['PATH']}`,
      },
    });
    expect(await lab().kubectl('get', 'ippools.crd.projectcalico.org', '-o', 'name')).toContain('extra');
  });
});

/** Returns the shell command of a document that contains a word. */
async function documentedCommand(file: string, word: string): Promise<string> {
  const text = await readFile(path.join(projectDir, file), 'utf8');
  const blocks = [...text.matchAll(/```sh\n([^`]*)```/g)].map(([, block = '']) => block);
  const command = blocks.find((block) => block.includes(word));
  if (command === undefined) throw new Error(`${file} has no command with ${word}`);
  return command;
}

async function readExport(names: readonly string[]): Promise<KubernetesObject[]> {
  const parts: Buffer[] = [];
  for (const name of names) {
    const [namespace = '', map = ''] = name.split('/');
    const { binaryData } = await get<V1ConfigMap>(lab(), 'configmap', '-n', namespace, map);
    parts.push(Buffer.from(Object.values(binaryData ?? {})[0] ?? '', 'base64'));
  }
  const lines = gunzipSync(Buffer.concat(parts)).toString().trim().split('\n');
  return lines.map((line) => JSON.parse(line) as KubernetesObject);
}

const rbacVersion = 'rbac.authorization.k8s.io/v1';
const clusterRole = (name: string) => ({ apiVersion: rbacVersion, kind: 'ClusterRole', metadata: { name }, rules: [] });
const binding = (kind: string, metadata: object, role: string, subject: object) => ({
  apiVersion: rbacVersion,
  kind,
  metadata,
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
  subjects: [subject],
});
const account = (name: string, namespace: string) => ({ kind: 'ServiceAccount', name, namespace });

it("removes Canal's workloads and permissions, and nothing that others use", async () => {
  const controllerManager = {
    apiGroup: 'rbac.authorization.k8s.io',
    kind: 'User',
    name: 'system:kube-controller-manager',
  };
  await apply(
    lab(),
    binding('ClusterRoleBinding', { name: 'otheruser-else' }, 'flannel', account('other', 'default')),
    binding('RoleBinding', { name: 'otheruser-too', namespace: 'default' }, 'calico-node', account('other', 'default')),
    // A role of the cluster that is only bound to an account of Canal.
    clusterRole('otheruser-view'),
    binding('ClusterRoleBinding', { name: 'canal-extra' }, 'otheruser-view', account('canal', 'kube-system')),
    // As in manifests of Calico since v3.30.
    clusterRole('calico-tier-getter'),
    binding('ClusterRoleBinding', { name: 'calico-tier-getter' }, 'calico-tier-getter', controllerManager)
  );
  const { removeCanal } = createLabActivities(lab());
  await removeCanal(cluster());
  await removeCanal(cluster());
  const left = await names(
    'daemonsets,deployments,poddisruptionbudgets,configmaps,serviceaccounts',
    '-n',
    'kube-system'
  );
  expect(left.filter((name) => /canal|calico/.test(name) && !name.includes('calico-export'))).toEqual([]);
  const rbac = await names('clusterroles,clusterrolebindings');
  expect(rbac.filter((name) => /canal|calico|flannel|otheruser/.test(name))).toEqual([
    'clusterrole.rbac.authorization.k8s.io/calico-node',
    'clusterrole.rbac.authorization.k8s.io/flannel',
    'clusterrole.rbac.authorization.k8s.io/otheruser-view',
    'clusterrolebinding.rbac.authorization.k8s.io/otheruser-else',
  ]);
  // The CRDs hold the operator's policies.
  expect((await names('crds')).filter((name) => name.includes('projectcalico')).length).toBeGreaterThan(10);
});

it('continues where the DaemonSet is already gone, in every namespace of its own, and waits for its pods', async () => {
  await apply(
    lab(),
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'net' } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'canal', namespace: 'net' } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'canal', namespace: 'kube-system' } },
    barePod('kube-system', 'canal-last', 'n1', { labels: { 'k8s-app': 'canal' } })
  );
  let polls = 0;
  const endPodAtThirdPoll = async (): Promise<void> => {
    if (++polls === 3)
      await lab().kubectl('delete', 'pod', '-n', 'kube-system', 'canal-last', '--force', '--grace-period=0');
  };

  await activitiesIn(['net'], endPodAtThirdPoll).removeCanal(cluster());

  expect(polls).toBe(3);
  for (const namespace of ['kube-system', 'net'])
    expect(await names('serviceaccounts,pods', '-n', namespace)).not.toContain('serviceaccount/canal');
});

it('reports a missing ConfigMap of Canal before the cutover, and a removal that has started after it', async () => {
  await lab().kubectl('apply', '--server-side', '-f', lab().catalogue.canalManifest);
  await lab().kubectl('delete', '-n', 'kube-system', 'configmap', 'canal-config');
  const { inspectCluster, removeCanal } = createLabActivities(lab());
  const missing = 'ConfigMap kube-system/canal-config, which DaemonSet kube-system/canal mounts, does not exist';
  await expect(inspectCluster(cluster())).rejects.toMatchObject({
    type: 'SourceNotFound',
    nonRetryable: true,
    message: expect.stringContaining(missing) as string,
  });

  const config = { 'write-cni-conf-when-ready': 'x' };
  await apply(lab(), {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'cilium-config', namespace: 'kube-system' },
    data: config,
  });
  const facts = await inspectCluster(cluster());
  expect(facts).toMatchObject({ ciliumOwnsCni: true, leftovers: true });
  expect(facts.canal).toBeUndefined();

  await removeCanal(cluster());
  const left = await names('daemonsets,configmaps', '-n', 'kube-system');
  expect(left.filter((name) => /\/canal(-config)?$/.test(name))).toEqual([]);
  await lab().kubectl('delete', '-n', 'kube-system', 'configmap', 'cilium-config');
});

const policyGroup = 'policy.networking.k8s.io';
const policyDefinition = (kind: string) => {
  const plural = kind.toLowerCase().replace(/y$/, 'ies');
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: `${plural}.${policyGroup}`,
      annotations: { 'api-approved.kubernetes.io': 'https://github.com/kubernetes-sigs/network-policy-api/pull/30' },
    },
    spec: {
      ...{ group: policyGroup, scope: 'Cluster', names: { kind, plural, singular: kind.toLowerCase() } },
      versions: [{ name: 'v1alpha1', served: true, storage: true, schema }],
    },
  };
};

it('removes the remaining API objects of Canal, and keeps the export', async () => {
  const annotations = { 'flannel.alpha.coreos.com/public-ip': '192.0.2.1', 'projectcalico.org/x': 'y', keep: 'me' };
  await lab().kubectl(
    'annotate',
    'node',
    'n1',
    ...Object.entries(annotations).map(([key, value]) => `${key}=${value}`)
  );
  const { exportCalico, removeCanalTraces } = createLabActivities(lab());
  const exported = await exportCalico(cluster());
  const before = await readExport(exported);
  // As after an interrupted removal.
  await lab().kubectl('delete', 'crd', 'globalnetworksets.crd.projectcalico.org');
  const policyApi = ['AdminNetworkPolicy', 'BaselineAdminNetworkPolicy', 'OtherNetworkPolicy'];
  await apply(lab(), ...policyApi.map(policyDefinition), clusterRole('calico-tier-getter'));
  await lab().kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s');
  const used = { name: 'default' };
  await apply(lab(), { apiVersion: `${policyGroup}/v1alpha1`, kind: 'BaselineAdminNetworkPolicy', metadata: used });
  expect(await exportCalico(cluster())).toEqual(exported);
  expect(await readExport(exported)).toEqual(before);
  // A role of the manifest that is left is reported, and not ignored.
  await expect(removeCanalTraces(cluster())).rejects.toMatchObject({
    message: expect.stringContaining('ClusterRole calico-tier-getter') as string,
  });
  await lab().kubectl('delete', 'clusterrole', 'calico-tier-getter');
  await removeCanalTraces(cluster());
  await removeCanalTraces(cluster());
  // Unused CRDs of the manifest are removed; those with objects, and those of others, stay.
  expect((await names('crds')).filter((name) => name.includes(policyGroup))).toEqual([
    `customresourcedefinition.apiextensions.k8s.io/baselineadminnetworkpolicies.${policyGroup}`,
    `customresourcedefinition.apiextensions.k8s.io/othernetworkpolicies.${policyGroup}`,
  ]);
  expect((await names('crds')).filter((name) => name.includes('projectcalico'))).toEqual([]);
  const { metadata } = await get<V1Node>(lab(), 'node', 'n1');
  const keptAnnotations = ['keep', 'kubectl.kubernetes.io/last-applied-configuration', 'node.alpha.kubernetes.io/ttl'];
  expect(Object.keys(metadata?.annotations ?? {}).sort()).toEqual(keptAnnotations);
});

it("does not remove Calico's definitions before their objects are exported", async () => {
  await lab().kubectl('apply', '--server-side', '-f', lab().catalogue.canalManifest);
  await lab().kubectl('wait', '--for=condition=Established', 'crd/ippools.crd.projectcalico.org', '--timeout=60s');
  await lab().kubectl('delete', 'configmap', '-n', 'kube-system', 'calico-export-0');
  const metadata = { name: 'offices' };
  await apply(lab(), {
    apiVersion: 'crd.projectcalico.org/v1',
    kind: 'GlobalNetworkSet',
    metadata,
    spec: { nets: [] },
  });
  await expect(createLabActivities(lab()).removeCanalTraces(cluster())).rejects.toMatchObject({ type: 'ExportFailed' });
  expect((await names('crds')).filter((name) => name.includes('projectcalico')).length).toBeGreaterThan(10);
  // Without objects to export, there is no export to wait for.
  await lab().kubectl('delete', 'globalnetworksets.crd.projectcalico.org', 'offices');
  // Canal's workloads exist again, so the removal is reported as incomplete.
  await expect(createLabActivities(lab()).removeCanalTraces(cluster())).rejects.toMatchObject({
    type: 'CleanupIncomplete',
  });
  expect((await names('crds')).filter((name) => name.includes('projectcalico'))).toEqual([]);
});
