import { activitiesOf } from '../support/activity.ts';
import { useLab } from '../support/lab.ts';
import { apply, bareNode } from '../support/objects.ts';

const lab = useLab({ nodes: 0 });
const cluster = () => ({ cluster: lab().layout.context });

const names = async (...what: string[]): Promise<string[]> =>
  (await lab().kubectl('get', ...what, '-o', 'name')).split('\n').filter(Boolean);

it('knows a cluster without Canal', async () => {
  const inspecting = activitiesOf(lab()).inspectCluster(cluster());
  await expect(inspecting).rejects.toMatchObject({ type: 'SourceNotFound', nonRetryable: true });
});

it('reads Canal and every network in use', async () => {
  await lab().kubectl('apply', '--server-side', '-f', lab().catalogue.canalManifest);
  await lab().kubectl('wait', '--for=condition=Established', 'crd/ippools.crd.projectcalico.org', '--timeout=60s');
  await apply(lab(), bareNode('n1'), {
    apiVersion: 'crd.projectcalico.org/v1',
    kind: 'IPPool',
    metadata: { name: 'extra' },
    spec: { cidr: '172.30.0.0/16' },
  });
  const facts = await activitiesOf(lab()).inspectCluster(cluster());
  expect(facts).toMatchObject({
    kubernetesVersion: 'v1.37.2',
    canal: { version: 'v3.28.5', podCidr: '10.244.0.0/16', vni: 1, port: 8472 },
    ciliumOwnsCni: false,
    nodes: [{ name: 'n1', controlPlane: false, ready: false }],
  });
  expect(facts.networks).toEqual(
    expect.arrayContaining([
      { cidr: '10.96.0.0/16', owner: 'services' },
      { cidr: '10.244.0.0/16', owner: "Canal's pods" },
      { cidr: '172.30.0.0/16', owner: "Calico's IPPool extra" },
    ])
  );
});

it("removes Canal's workloads and permissions, and nothing that somebody else uses", async () => {
  await apply(lab(), {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'somebody-else' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'flannel' },
    subjects: [{ kind: 'ServiceAccount', name: 'other', namespace: 'default' }],
  });
  const { removeCanal } = activitiesOf(lab());
  await removeCanal(cluster());
  await removeCanal(cluster());
  const left = await names(
    'daemonsets,deployments,poddisruptionbudgets,configmaps,serviceaccounts',
    '-n',
    'kube-system'
  );
  expect(left.filter((name) => /canal|calico/.test(name))).toEqual([]);
  const rbac = await names('clusterroles,clusterrolebindings');
  expect(rbac.filter((name) => /canal|calico|flannel|somebody/.test(name))).toEqual([
    'clusterrole.rbac.authorization.k8s.io/flannel',
    'clusterrolebinding.rbac.authorization.k8s.io/somebody-else',
  ]);
  // They hold the operator's policies.
  expect((await names('crds')).filter((name) => name.includes('projectcalico')).length).toBeGreaterThan(10);
});
