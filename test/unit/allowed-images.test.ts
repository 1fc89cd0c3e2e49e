import type { KubernetesObjectApi } from '@kubernetes/client-node';
import { isImageAllowed } from '../../activities/kubernetes/allowed-images.ts';
import { applyDry, applyObject, createDry, createObject, type NamedObject } from '../../activities/kubernetes/apply.ts';
import type { ClusterConnection } from '../../activities/kubernetes/connection.ts';
import { natExemptionObject } from '../../activities/helpers/nat-exemption.ts';
import { hostPod } from '../../activities/host/run-script.ts';
import { oneShotPodManifest } from '../../activities/helpers/one-shot-pod.ts';
import { defaultHostFolders } from '../../activities/canal/host-folders.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const otherDigest = `sha256:${'b'.repeat(64)}`;

it.each([
  ['registry.example.com', 'registry.example.com/team/prober:1'],
  ['registry.example.com:5000', 'registry.example.com:5000/prober'],
  ['registry.example.com/team', 'registry.example.com/team/prober:1'],
  ['registry.example.com/team/prober', 'registry.example.com/team/prober:2'],
  ['registry.example.com/team/prober', `registry.example.com/team/prober@${digest}`],
  ['registry.example.com/team/prober:1', 'registry.example.com/team/prober:1'],
  ['registry.example.com/team/prober:1', `registry.example.com/team/prober:1@${digest}`],
  [`registry.example.com/team/prober@${digest}`, `registry.example.com/team/prober:7@${digest}`],
])('an entry %s allows %s', (entry, image) => {
  expect(isImageAllowed(['other.example.com', entry], image)).toBe(true);
});

it.each([
  ['registry.example.com', 'registry.example.com.evil.example/prober:1'],
  ['registry.example.com', 'registry.example.com:5000/prober:1'],
  ['registry.example.com', 'registry.example.com:1'],
  ['registry.example.com', 'evil/registry.example.com/prober:1'],
  ['registry.example.com/team', 'registry.example.com/team-evil/prober:1'],
  ['registry.example.com/team', 'registry.example.com/team/../evil/prober:1'],
  ['registry.example.com/team/prober:1', 'registry.example.com/team/prober:2'],
  ['registry.example.com/team/prober:1', 'registry.example.com/team/prober:1/evil'],
  ['registry.example.com/team/prober:1', 'registry.example.com/team/prober'],
  [`registry.example.com/team/prober@${digest}`, `registry.example.com/team/prober@${otherDigest}`],
  [`registry.example.com/team/prober@${digest}`, 'registry.example.com/team/prober:1'],
  [`registry.example.com/team/prober@${digest}`, `registry.example.com/team/prober@${otherDigest}@${digest}`],
  ['registry.example.com/team', 'registry.example.com/team/prober@evil'],
])('an entry %s does not allow %s', (entry, image) => {
  expect(isImageAllowed([entry], image)).toBe(false);
});

describe('what the worker applies', () => {
  const daemonSet = natExemptionObject({
    sourcePodCidr: '10.244.0.0/16',
    targetPodCidr: '10.245.0.0/16',
    coexistenceImage: 'evil.example/coexistence:1',
  });
  const pod = oneShotPodManifest(hostPod('node', 'evil.example/host:1', 'diagnose', defaultHostFolders));
  const init: NamedObject = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'init' },
    ...{ spec: { containers: [], initContainers: [{ name: 'a', image: 'evil.example/init:1' }] } },
  };

  const connect = (images: readonly string[] | undefined) => {
    const applied: string[] = [];
    const objects = {
      patch: ({ kind = '' }: { kind?: string }) => Promise.resolve(void applied.push(kind)),
      create: ({ kind = '' }: { kind?: string }) => Promise.resolve(void applied.push(kind)),
    } as unknown as KubernetesObjectApi;
    return { applied, connection: { objects, images } as unknown as ClusterConnection };
  };

  it.each([
    ['a DaemonSet', daemonSet],
    ['a pod that runs a script on a node', pod],
    ['a pod with an init container', init],
  ])('is not %s with an image that its file does not allow', async (_what, object) => {
    const { applied, connection } = connect(['registry.example.com']);

    for (const apply of [applyObject, applyDry, createObject, createDry]) {
      await expect(apply(connection, object)).rejects.toMatchObject({
        type: 'InvalidInput',
        nonRetryable: true,
        message: expect.stringMatching(
          /may not start evil\.example\/.*its file allows registry\.example\.com/
        ) as string,
      });
    }

    expect(applied).toEqual([]);
  });

  it('is an object without pods, one with an allowed image, and anything without a list', async () => {
    const configMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } };
    const listed = connect(['evil.example']);
    const unlisted = connect(undefined);

    for (const object of [configMap, daemonSet, pod, init]) {
      await applyObject(listed.connection, object);
      await applyObject(unlisted.connection, object);
    }

    expect(listed.applied).toEqual(['ConfigMap', 'DaemonSet', 'Pod', 'Pod']);
    expect(unlisted.applied).toEqual(listed.applied);
  });

  it('is nothing that starts pods when the list is empty', async () => {
    await expect(applyObject(connect([]).connection, pod)).rejects.toThrow(/its file allows no image/);
  });
});
