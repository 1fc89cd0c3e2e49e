import { readFile, writeFile } from 'node:fs/promises';
import { freePort, startTemporal, startWorker, type TemporalServer } from '../../lab/cluster/temporal.ts';
import { useLab } from '../support/lab.ts';
import { waitForStableState } from '../support/wait-until-stable.ts';
import { TemporalCli } from '../support/temporal-cli.ts';

const lab = useLab({ nodes: 0 });
let temporal: TemporalServer;

interface Kubeconfig {
  clusters: { name: string; cluster: object }[];
  contexts: { name: string; context: { cluster: string; user: string } }[];
}

beforeAll(async () => {
  // A second context of the worker's kubeconfig leads to a port where nothing listens.
  const { kubeconfig, context } = lab().layout;
  const config = JSON.parse(await readFile(kubeconfig, 'utf8')) as Kubeconfig;
  config.clusters.push({ name: 'away', cluster: { server: `https://127.0.0.1:${await freePort()}` } });
  config.contexts.push({ name: 'away', context: { cluster: 'away', user: `${context}-admin` } });
  await writeFile(kubeconfig, JSON.stringify(config));
  temporal = await startTemporal(lab());
  await startWorker(lab(), temporal.address);
});

/** Returns the names of the objects that a migration could have changed. */
async function traces(): Promise<string> {
  return lab().kubectl('get', 'namespaces,daemonsets,deployments,configmaps,secrets,crds', '-A', '-o', 'name');
}

async function migrate(cluster: string, input: string): ReturnType<TemporalCli['waitForEnd']> {
  const cli = new TemporalCli(temporal, cluster);
  await cli.start(input);
  return cli.waitForEnd();
}

const json = (more: object = {}): string => JSON.stringify({ cluster: lab().layout.context, ...more });

it('refuses a cluster without Canal', async () => {
  const before = await waitForStableState(traces);
  const { status, failure } = await migrate('no-canal', json());
  expect({ status, failure }).toMatchObject({ status: 'FAILED', failure: { type: 'SourceNotFound' } });
  expect(failure?.message).toContain('does not run Canal');
  expect(await traces()).toBe(before);
});

it('refuses an unknown context, and lists the known ones', async () => {
  const { failure } = await migrate('unknown', JSON.stringify({ cluster: 'nowhere' }));
  expect(failure).toMatchObject({ type: 'UnknownCluster' });
  expect(failure?.message).toContain(`it has ${lab().layout.context}, away`);
});

it('fails for an unreachable cluster with the reason', async () => {
  const { failure } = await migrate('away', JSON.stringify({ cluster: 'away' }));
  expect(failure).toMatchObject({ type: 'ClusterUnreachable' });
  expect(failure?.message).toContain('ECONNREFUSED');
});

it('refuses valid JSON that is not an input of a migration', async () => {
  for (const input of ['null', '"prod"', '[]', '{"cluster": 7}']) {
    const { failure } = await migrate(`shape-${input}`, input);
    expect(failure).toMatchObject({ type: 'InvalidInput' });
  }
});

it('does not start with input that is not valid JSON', async () => {
  const cli = new TemporalCli(temporal, 'malformed');
  await expect(cli.start('{"cluster": ')).rejects.toThrow(/not valid JSON/i);
});

it('refuses a pod CIDR that is in use, and names the user', async () => {
  await lab().kubectl('apply', '--server-side', '-f', lab().catalogue.canalManifest);
  const before = await waitForStableState(traces);
  for (const [podCidr, owner] of [
    ['10.244.0.0/16', 'pods of Canal'],
    ['10.96.128.0/17', 'services'],
  ]) {
    const { failure } = await migrate(`overlap-${podCidr}`, json({ podCidr }));
    expect(failure).toMatchObject({ type: 'PreflightBlocked' });
    expect(failure?.message).toContain(`pod-cidr-overlap: ${podCidr} overlaps with`);
    expect(failure?.message).toContain(owner);
  }
  expect(await traces()).toBe(before);
});
