import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { V1Secret } from '@kubernetes/client-node';
import { run } from '../../lab/process.ts';
import { cniChainName } from '../../model/names.ts';
import { kubeconfigClusters } from '../../activities/kubernetes/connection.ts';
import { parseInput } from '../../model/input.ts';
import { createLabActivities, createTestActivities } from '../support/activity.ts';
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

describe('a step of an approved plan', () => {
  const copy = (): string => path.join(lab().layout.dir, 'planned-chart');
  const template = (): string => path.join(copy(), 'templates', 'cilium-config.yaml');
  const values = { coexistence: { tunnelPort: 20 }, cutover: { tunnelPort: 21 }, final: { tunnelPort: 22 } };
  beforeAll(() => cp(chart, copy(), { recursive: true }));
  afterAll(() => rm(copy(), { recursive: true }));

  /** Plans the copy of the chart, as the workflow does. */
  async function planChart() {
    const parsed = parseInput({ cluster: lab().layout.context, chart: copy() });
    if ('problems' in parsed) throw new Error(parsed.problems.join());
    const details = await createLabActivities(lab()).planDetails({ input: parsed.input, nodes: [], values });
    if (details.release === undefined) throw new Error('the plan has no release');
    return { ...details, release: details.release };
  }

  it('applies the planned chart and manifests, and nothing else', async () => {
    const { applyHelmRelease } = createLabActivities(lab());
    const { release: planned, images } = await planChart();
    const { chartDigest, manifests } = planned;
    expect(new Set(Object.values(manifests)).size).toBe(3);
    expect(images).toContain('localhost/cni-live-migration/prober:1');
    const target = (step: 'coexistence' | 'cutover', ofStep = step) => ({
      ...{ ...release(0), chart: copy(), values: values[ofStep] },
      planned: { step, chartDigest, manifests: manifests[step] },
    });
    const refuses = async (apply: Promise<unknown>, type: string, ...words: string[]): Promise<void> => {
      const before = await latestRevision();
      const error = (await apply.catch((thrown: unknown) => thrown)) as Error;
      expect(error).toMatchObject({ type, nonRetryable: true });
      for (const word of words) expect(error.message).toContain(word);
      expect(await latestRevision()).toBe(before);
    };

    await applyHelmRelease(target('coexistence'));
    const applied = await latestRevision();
    await applyHelmRelease(target('coexistence'));
    expect(await latestRevision()).toBe(applied);

    // The values of another step.
    await refuses(applyHelmRelease(target('cutover', 'coexistence')), 'PlanChanged', 'manifests', manifests.cutover);
    // Another chart with the same version.
    const original = await readFile(template(), 'utf8');
    await writeFile(template(), `${original}  added: 'true'\n`);
    const { chartDigest: changed } = (await planChart()).release;
    expect(changed).not.toBe(chartDigest);
    await refuses(applyHelmRelease(target('cutover')), 'PlanChanged', chartDigest, changed);
    // Also one that renders the same: a comment.
    await writeFile(template(), `{{/* comment */}}${original}`);
    await refuses(applyHelmRelease(target('cutover')), 'PlanChanged', chartDigest);
    await refuses(applyHelmRelease({ ...release(0), chart: copy(), chartDigest }), 'UnexpectedChart', 'chartDigest');
    await writeFile(template(), original);
    await applyHelmRelease(target('cutover'));
    expect(await latestRevision()).toBe(applied + 1);
  });

  it('is refused when the policy of the cluster has other digests, also without a plan', async () => {
    const { layout, catalogue } = lab();
    const { applyHelmRelease } = createTestActivities({
      clusters: kubeconfigClusters(layout.kubeconfig),
      helm: { binary: catalogue.bin('helm') },
      isOpen: () => Promise.resolve(undefined),
      policyOf: () => ({ chartDigests: [`sha256:${'0'.repeat(64)}`] }),
    });
    await expect(applyHelmRelease({ ...release(0), chart: copy() })).rejects.toMatchObject({
      type: 'UnexpectedChart',
      message: expect.stringContaining('policy.chartDigests of the cluster') as string,
    });
  });

  it('is not planned when the chart renders other content each time', async () => {
    const original = await readFile(template(), 'utf8');
    await writeFile(template(), `${original}  random: {{ randAlphaNum 20 | quote }}\n`);
    await expect(planChart()).rejects.toMatchObject({
      type: 'UnexpectedChart',
      message: expect.stringContaining('ConfigMap kube-system/cilium-config') as string,
    });
    await writeFile(template(), original);
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
