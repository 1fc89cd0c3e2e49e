import path from 'node:path';
import { run } from '../../lab/process.ts';
import { activitiesOf } from '../support/activity.ts';
import { useLab } from '../support/lab.ts';

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
  const { applyHelmRelease, checkCiliumConfig } = activitiesOf(lab());
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
  const failing = activitiesOf(lab()).applyHelmRelease({ ...release(3), chart: '/no/such/chart' });
  await expect(failing).rejects.toMatchObject({
    type: 'HelmFailed',
    message: expect.stringContaining('/no/such/chart') as string,
  });
});
