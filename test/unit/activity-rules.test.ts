import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';
import { requireArgument } from '../../worker/authority/interceptor.ts';

/** Activity in a recorded history. */
interface Scheduled {
  activityType: { name: string };
  input?: { payloads: { data: string }[] };
}

/** Returns the activities of all recorded histories, with their arguments. */
async function readScheduled(): Promise<{ name: string; args: unknown[] }[]> {
  const folder = path.join(projectDir, 'test', 'histories');
  const files = (await readdir(folder, { recursive: true })).filter((file) => file.endsWith('.json'));
  const texts = await Promise.all(files.map((file) => readFile(path.join(folder, file), 'utf8')));
  return texts.flatMap((text) => {
    const { events } = JSON.parse(text) as { events: { activityTaskScheduledEventAttributes?: Scheduled }[] };
    return events.flatMap(({ activityTaskScheduledEventAttributes: scheduled }) => {
      if (scheduled === undefined) return [];
      const args = scheduled.input?.payloads.map(({ data }): unknown =>
        JSON.parse(Buffer.from(data, 'base64').toString())
      );
      return [{ name: scheduled.activityType.name, args: args ?? [] }];
    });
  });
}

it('accept every argument of the recorded histories', async () => {
  const scheduled = await readScheduled();
  const refusals = scheduled.flatMap(({ name, args }) => {
    try {
      requireArgument(name, args);
      return [];
    } catch (error) {
      return [`${name} ${JSON.stringify(args)}: ${String(error)}`];
    }
  });

  expect(new Set(scheduled.map(({ name }) => name)).size).toBeGreaterThan(40);
  expect(refusals).toEqual([]);
});

const node = { cluster: 'prod', node: 'worker-1' };
const release = { cluster: 'prod', chart: 'oci://quay.io/cilium/charts/cilium', version: '1.20.2', values: {} };
const clean = { ...node, traces: 'canal', coexistenceImage: 'localhost/x:1' };
const drain = {
  ...node,
  ...{ to: 'cilium', targetPodCidr: '10.245.0.0/16', daemonSets: false, forcedPods: [], roundSeconds: 60 },
  options: { mode: 'evict', timeoutSeconds: 900, deleteEmptyDirData: false, evictUnmanagedPods: false },
};
const lock = { cluster: 'prod', workflowId: 'cni-migration/prod', runId: 'r' };
const deep = JSON.parse(`${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`) as unknown;

it.each<[name: string, argument: unknown, problem: string]>([
  ['cordonNode', { ...node, node: '../../etc' }, 'node: must be the name of a node'],
  ['cordonNode', { ...node, node: '-x' }, 'node'],
  ['cordonNode', { ...node, node: 'a..b' }, 'node'],
  ['cordonNode', { ...node, node: 'a\nb' }, 'node'],
  ['cordonNode', { ...node, node: 'x'.repeat(254) }, 'node'],
  ['cordonNode', { ...node, node: ['worker-1'] }, 'node'],
  ['cordonNode', { cluster: 'prod' }, 'node'],
  ['removeCanal', { cluster: '--kubeconfig=/etc/shadow' }, 'cluster'],
  ['removeCanal', { cluster: '../other' }, 'cluster'],
  ['removeCanal', {}, 'cluster'],
  ['cleanHost', { ...clean, traces: '../canal' }, 'traces'],
  ['cleanHost', { ...clean, coexistenceImage: '--privileged' }, 'coexistenceImage'],
  ['applyHelmRelease', { ...release, chart: '--post-renderer=/bin/sh' }, 'chart'],
  ['applyHelmRelease', { ...release, chart: '/charts/../../tmp/evil' }, 'chart'],
  ['applyHelmRelease', { ...release, chart: 'repo/cilium' }, 'chart'],
  ['applyHelmRelease', { ...release, version: '--devel' }, 'version'],
  ['applyHelmRelease', { ...release, values: [] }, 'values'],
  ['applyHelmRelease', { ...release, values: { a: deep } }, 'nested too deeply'],
  ['drainNode', { ...drain, to: 'calico' }, 'to'],
  ['drainNode', { ...drain, targetPodCidr: '10.245.0.0' }, 'targetPodCidr'],
  ['drainNode', { ...drain, forcedPods: ['a/b/c'] }, 'forcedPods.0'],
  ['drainNode', { ...drain, options: { ...drain.options, deleteEmptyDirData: ['*/*'] } }, 'options.deleteEmptyDirData'],
  ['runPreflight', { input: { cluster: 'prod' }, only: ['rm'] }, 'only.0'],
  ['runPreflight', { input: { cluster: 'prod', proberImage: '-x' } }, 'input.proberImage'],
  ['acquireLock', { ...lock, runId: '' }, 'runId'],
  ['recordPointOfNoReturn', { cluster: 'prod', approval: { by: 'ann' } }, 'approval'],
  ['checkGates', { cluster: 'prod', gates: { http: [{ url: 'file:///etc/passwd' }] }, sinceMs: 0 }, 'gates.http.0.url'],
  ['toString', { cluster: 'prod' }, 'this build does not know it'],
])('refuse for %s what is not valid: case %#', (name, argument, problem) => {
  const refusal = { type: 'CallerRefused', nonRetryable: true, message: expect.stringContaining(problem) as string };
  expect(() => requireArgument(name, [argument])).toThrow(expect.objectContaining(refusal) as Error);
});

it.each([[[]], [[node, node]], [[null]], [['prod']]])('refuse anything but one object: case %#', (args) => {
  expect(() => requireArgument('cordonNode', args)).toThrow('has one object as its argument');
});

it('accept what the cases above change, and fields that a newer build adds', () => {
  const accepted = {
    cleanHost: clean,
    applyHelmRelease: release,
    drainNode: drain,
    acquireLock: lock,
    cordonNode: node,
  };
  for (const [name, argument] of Object.entries(accepted))
    expect(requireArgument(name, [{ ...argument, added: true }])).toMatchObject({ name, argument });
});
