import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { V1Secret } from '@kubernetes/client-node';
import { run } from '../../lab/process.ts';
import { createLabActivities } from '../support/activity.ts';
import { useLab } from '../support/lab.ts';
import { get } from '../support/objects.ts';

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

it('tells what Helm said when it fails', async () => {
  const failing = createLabActivities(lab()).applyHelmRelease({ ...release(3), chart: '/no/such/chart' });
  await expect(failing).rejects.toMatchObject({
    type: 'HelmFailed',
    message: expect.stringContaining('/no/such/chart') as string,
  });
});

describe('a release that a dead Helm left pending', () => {
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

  it('is mended in the middle of an upgrade, without a rollback', async () => {
    const { applyHelmRelease, checkCiliumConfig } = createLabActivities(lab());
    await applyHelmRelease(release(4));
    await leavePending('pending-upgrade', await revisions());
    await applyHelmRelease(release(5));
    const { context: cluster } = lab().layout;
    await checkCiliumConfig({ cluster, expected: { 'tunnel-port': '5' } });
  });

  it('is mended in the middle of its installation', async () => {
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
