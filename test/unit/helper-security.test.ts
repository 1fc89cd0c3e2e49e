import type { V1Container, V1Pod, V1PodSpec } from '@kubernetes/client-node';
import { bridgeObjects } from '../../activities/helpers/identity-bridge-objects.ts';
import { ownObjects } from '../../activities/helpers/manifests.ts';
import { buildProbeKey } from '../../activities/helpers/probe-key.ts';
import { proberObjects } from '../../activities/helpers/probers.ts';
import { hostScripts, readHostScript, runOnHost, type HostScript } from '../../activities/host/run-script.ts';
import type { ClusterConnection } from '../../activities/kubernetes/connection.ts';
import { permissions } from '../../activities/permissions.ts';
import { buildOneShotPods, buildWorkloadPods } from '../../activities/preflight/dry-run-pods.ts';
import { parseInput, type MigrationInput } from '../../model/input.ts';

/** One of our pods, with its purpose. */
interface OwnPod {
  purpose: string;
  spec: V1PodSpec;
  container: V1Container;
}

function migrationInput(): MigrationInput {
  const parsed = parseInput({ cluster: 'c', podCidr: '10.245.0.0/16' });
  if ('problems' in parsed) throw new Error(parsed.problems.join('\n'));
  return parsed.input;
}

function ownPod({ metadata, spec }: V1Pod): OwnPod {
  const container = spec?.containers[0];
  if (spec === undefined || container === undefined) throw new Error(`${metadata?.name} has no container`);
  return { purpose: metadata?.labels?.['app'] ?? '', spec, container };
}

const oneShotPods = buildOneShotPods(migrationInput(), 'n1', 'cilium:1').map(ownPod);
const workloads = buildWorkloadPods(ownObjects(migrationInput(), '10.244.0.0/16')).map(ownPod);
const pods = [...workloads, ...oneShotPods];
const ofPurpose = (select: (pod: OwnPod) => boolean): string[] => pods.filter(select).map(({ purpose }) => purpose);
const scripts: readonly string[] = hostScripts;
const isScript = ({ purpose }: OwnPod): boolean => scripts.includes(purpose);

it('knows every kind of pod', () => {
  expect(ofPurpose(() => true).sort()).toEqual(
    [
      ...[
        'prober',
        'prober-peer',
        'prober-host',
        'nat-exemption',
        'identity-bridge',
        'verify',
        'inspect',
        'clean-tables',
      ],
      ...hostScripts,
    ].sort()
  );
});

it.each(pods.filter((pod) => !isScript(pod)))('$purpose has no privileges', ({ purpose, container }) => {
  const added = ['nat-exemption', 'clean-tables'].includes(purpose) ? { add: ['NET_ADMIN'] } : {};

  expect(container.securityContext).toMatchObject({
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    seccompProfile: { type: 'RuntimeDefault' },
  });
  expect(container.securityContext?.privileged).toBeUndefined();
  expect(container.securityContext?.capabilities).toEqual({ drop: ['ALL'], ...added });
});

it('runs as root only what needs it: a capability, files of root, the scripts', () => {
  expect(ofPurpose(({ container }) => container.securityContext?.runAsNonRoot !== true).sort()).toEqual(
    ['clean-tables', 'inspect', 'nat-exemption', ...hostScripts].sort()
  );
});

it('uses the network of nodes only where it is the subject, or must not change', () => {
  expect(ofPurpose(({ spec }) => spec.hostNetwork === true).sort()).toEqual(
    ['prober-host', 'nat-exemption', 'identity-bridge', 'inspect', 'clean-tables', ...hostScripts].sort()
  );
});

it('gives a token only to those that talk to the API server', () => {
  expect(ofPurpose(({ spec }) => spec.automountServiceAccountToken !== false).sort()).toEqual([
    'identity-bridge',
    'prober',
    'prober-host',
  ]);
});

it.each(pods)('$purpose has a limit of its memory, and requests nothing of a full node', ({ container }) => {
  expect(container.resources).toEqual({
    requests: { cpu: '0', memory: '0' },
    limits: { memory: expect.any(String) as string },
  });
});

it.each(oneShotPods)('$purpose ends without a worker', ({ spec }) => {
  expect(spec.restartPolicy).toBe('Never');
  expect(spec.activeDeadlineSeconds).toBeLessThanOrEqual(900);
});

it('mounts the files of a node read-only where it only reads them', () => {
  const writable = ofPurpose(
    ({ spec, container }) =>
      container.volumeMounts?.some(({ name, readOnly }) => {
        const hostPath = spec.volumes?.find((volume) => volume.name === name)?.hostPath?.path;
        return readOnly !== true && hostPath !== undefined && !/^\/(run\/xtables.lock|sys\/fs\/bpf)$/.test(hostPath);
      }) === true
  );

  expect(writable.sort()).toEqual(['clean-canal', 'clean-cilium', 'restore-source-cni']);
});

it('lets nobody patch pods: that would include the images of privileged ones', () => {
  const bridge = bridgeObjects({ targetPodCidr: '10.245.0.0/16', coexistenceImage: 'c:1' }, {});
  const rules = bridge.flatMap((object) => {
    const { rules: own = [] } = object as { rules?: { resources: string[]; verbs: string[] }[] };
    return own.flatMap(({ resources, verbs }) => resources.map((resource) => ({ resource, verbs })));
  });
  const verbsOf = (all: readonly { resource: string; verbs: readonly string[] }[], of: string): string[] =>
    all.flatMap(({ resource, verbs }) => (resource === of ? [...verbs] : [])).sort();

  expect(verbsOf(rules, 'pods')).toEqual(['get', 'list', 'watch']);
  expect(verbsOf(rules, 'pods/status')).toEqual(['patch']);
  expect(verbsOf(rules, 'nodes')).toEqual(['get', 'list', 'watch']);
  expect(verbsOf(permissions, 'pods')).toEqual(['create', 'delete', 'get', 'list']);
  expect(verbsOf(permissions, 'pods/status')).toEqual(['patch']);
});

it('gives all probers one key, which only the API server can choose', () => {
  const key = buildProbeKey('11111111-2222-3333-4444-555555555555');
  const input = migrationInput();
  const target = { targetPodCidr: input.podCidr, proberImage: input.proberImage, ledger: input.ledger };
  const probers = buildWorkloadPods(proberObjects(target, { clusterIp: '', nodePort: 0, key })).map(ownPod);

  const keys = probers.map(({ container }) => container.env?.find(({ name }) => name === 'PROBE_KEY')?.value);

  expect(keys).toEqual([key, key, key]);
  // images/prober/access.go requires this length.
  expect(key).toMatch(/^[\w-]{11}$/);
  expect(buildProbeKey('11111111-2222-3333-4444-555555555555')).toBe(key);
  expect(buildProbeKey('11111111-2222-3333-4444-555555555556')).not.toBe(key);
});

it('lets the kubelet ask probers for nothing but their readiness', () => {
  const probes = workloads.flatMap(({ container }) => container.readinessProbe?.httpGet?.path ?? []);

  expect(probes).toEqual(['/ready', '/ready', '/ready']);
});

it.each(['clean-../../../tmp/evil', '../probe/verify', 'functions', '', 'constructor'])(
  'runs no script "%s" on a node',
  async (name) => {
    const untouched = new Proxy({} as ClusterConnection, {
      get: (_, property) => {
        throw new Error(`${String(property)} was used`);
      },
    });

    await expect(runOnHost(untouched, 'n1', name as HostScript)).rejects.toMatchObject({ type: 'InvalidInput' });
    expect(() => readHostScript(name as HostScript)).toThrow('there is no script');
  }
);
