import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { V1Secret } from '@kubernetes/client-node';
import { run } from '../../lab/process.ts';
import { cniChainName } from '../../model/names.ts';
import { createLabActivities } from '../support/activity.ts';
import { useLab } from '../support/lab.ts';
import { apply, get } from '../support/objects.ts';

const lab = useLab({ nodes: 0 });
const chart = path.resolve(import.meta.dirname, '..', 'support', 'chart');
const release = (tunnelPort: number) => ({
  cluster: lab().layout.context,
  chart,
  version: '1.2.3',
  values: { tunnelPort },
});

async function revisions(): Promise<number> {
  const args = ['history', 'cilium', '-n', 'kube-system', '-o', 'json', '--kubeconfig', lab().layout.kubeconfig];
  return (JSON.parse(await run(lab().catalogue.bin('helm'), args)) as unknown[]).length;
}

async function latestRevision(): Promise<number> {
  const args = ['history', 'cilium', '-n', 'kube-system', '-o', 'json', '--kubeconfig', lab().layout.kubeconfig];
  const history = JSON.parse(await run(lab().catalogue.bin('helm'), args)) as { revision: number }[];
  return Math.max(...history.map(({ revision }) => revision));
}

/** Creates the record that Helm leaves when it is killed: an operation in progress, started some time ago. */
async function leavePending(status: string, revision: number): Promise<void> {
  const name = `sh.helm.release.v1.cilium.v${revision}`;
  const secret = await get<V1Secret>(lab(), 'secret', '-n', 'kube-system', name);
  const packed = Buffer.from(secret.data?.['release'] ?? '', 'base64').toString();
  const record = JSON.parse(gunzipSync(Buffer.from(packed, 'base64')).toString()) as { info: Record<string, string> };
  Object.assign(record.info, { status, last_deployed: new Date(Date.now() - 600_000).toISOString() });
  const release = Buffer.from(gzipSync(JSON.stringify(record)).toString('base64')).toString('base64');
  const patch = JSON.stringify({ data: { release }, metadata: { labels: { status } } });
  await lab().kubectl('patch', 'secret', '-n', 'kube-system', name, '--type=merge', '-p', patch);
}

it('installs, upgrades when values differ, and does nothing when they do not', async () => {
  const { applyHelmRelease, checkCiliumConfig } = createLabActivities(lab());
  await applyHelmRelease(release(1));
  await applyHelmRelease(release(1));
  expect(await revisions()).toBe(1);
  await applyHelmRelease(release(2));
  expect(await revisions()).toBe(2);
  const { context: cluster } = lab().layout;
  await checkCiliumConfig({ cluster, expected: { 'tunnel-port': '2' } });
  await expect(checkCiliumConfig({ cluster, expected: { 'tunnel-port': '1', ipam: 'x' } })).rejects.toMatchObject({
    type: 'UnexpectedChart',
    message: expect.stringContaining('tunnel-port is "2", not "1"; ipam is null, not "x"') as string,
  });
});

it("reports Helm's error", async () => {
  const failing = createLabActivities(lab()).applyHelmRelease({ ...release(3), chart: '/no/such/chart' });
  await expect(failing).rejects.toMatchObject({
    type: 'HelmFailed',
    message: expect.stringContaining('/no/such/chart') as string,
  });
});

describe('a pending release of a crashed Helm', () => {
  it('is repaired during an upgrade, without a rollback', async () => {
    const { applyHelmRelease, checkCiliumConfig } = createLabActivities(lab());
    await applyHelmRelease(release(4));
    await leavePending('pending-upgrade', await revisions());
    await applyHelmRelease(release(5));
    const { context: cluster } = lab().layout;
    await checkCiliumConfig({ cluster, expected: { 'tunnel-port': '5' } });
  });

  it('is repaired during its installation', async () => {
    const args = ['uninstall', 'cilium', '-n', 'kube-system', '--kubeconfig', lab().layout.kubeconfig];
    await run(lab().catalogue.bin('helm'), args);
    const { applyHelmRelease, checkCiliumConfig } = createLabActivities(lab());
    await applyHelmRelease(release(6));
    await leavePending('pending-install', 1);
    await applyHelmRelease(release(7));
    const { context: cluster } = lab().layout;
    await checkCiliumConfig({ cluster, expected: { 'tunnel-port': '7' } });
  });
});

it('uninstalls a release that a killed Helm has begun to uninstall, with all its objects', async () => {
  const { applyHelmRelease, uninstallCilium } = createLabActivities(lab());
  await applyHelmRelease(release(8));
  await apply(lab(), {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: cniChainName, namespace: 'kube-system' },
  });
  for (let revision = 1; revision < (await latestRevision()); revision++)
    await lab().kubectl(
      'delete',
      'secret',
      '-n',
      'kube-system',
      `sh.helm.release.v1.cilium.v${revision}`,
      '--ignore-not-found'
    );
  await leavePending('uninstalling', await latestRevision());

  await uninstallCilium({ cluster: lab().layout.context });

  const left = await lab().kubectl('get', 'configmap,secret', '-n', 'kube-system', '-o', 'name');
  expect(left.split('\n').filter((name) => /cilium-config|sh\.helm/.test(name))).toEqual([]);
});
