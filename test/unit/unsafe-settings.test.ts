import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { kubeconfigClusters } from '../../activities/kubernetes/connection.ts';
import { connect } from '../../client/connection.ts';
import { allowances, parseAllowances } from '../../model/allowances.ts';
import { temporalConfig } from '../../temporal/connection-config.ts';
import { isThisMachine } from '../../temporal/safe-connection.ts';
import { readWorkerConfig } from '../../worker/config.ts';

/** Settings that are refused unless they are allowed by name. */
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'cni-unsafe-'));
});
afterAll(() => rm(dir, { recursive: true }));

const base = { TEMPORAL_CONFIG_FILE: '/nowhere/temporal.toml', HOME: '/nowhere' };
const remote = { ...base, TEMPORAL_ADDRESS: 'temporal.example.com:7233' };
const certificate = { TEMPORAL_TLS_CLIENT_CERT_DATA: 'cert', TEMPORAL_TLS_CLIENT_KEY_DATA: 'key' };

describe('a Temporal server on another machine', () => {
  it.each([
    ['without TLS', {}, 'has no TLS', 'plaintext-temporal'],
    ['without TLS, which is turned off', { TEMPORAL_API_KEY: 'k', TEMPORAL_TLS: 'false' }, 'has no TLS', 'plaintext'],
    ['without credentials', { TEMPORAL_TLS: 'true' }, 'has no API key', 'unauthenticated-temporal'],
    [
      'without TLS, allowed',
      { CNI_MIGRATION_ALLOW: 'plaintext-temporal' },
      'has no API key',
      'unauthenticated-temporal',
    ],
  ])('is refused %s, with the setting that allows it', async (_title, env, problem, allowance) => {
    const read = () => temporalConfig({ ...remote, ...env });

    expect(read).toThrow(problem);
    expect(read).toThrow(`CNI_MIGRATION_ALLOW=${allowance}`);
    await expect(readWorkerConfig({ ...remote, ...env })).rejects.toThrow(problem);
    await expect(connect({ ...remote, ...env })).rejects.toThrow(problem);
  });

  it.each([
    ['with an API key, which turns TLS on', { TEMPORAL_API_KEY: 'k' }],
    ['with a client certificate', { TEMPORAL_TLS: 'true', ...certificate }],
    ['that is allowed', { CNI_MIGRATION_ALLOW: 'plaintext-temporal, unauthenticated-temporal' }],
  ])('is accepted %s', (_title, env) => {
    expect(temporalConfig({ ...remote, ...env }).connectionOptions.address).toBe(remote.TEMPORAL_ADDRESS);
  });

  it.each([
    ...['localhost:7233', 'LOCALHOST', '127.0.0.1:7233', '127.8.8.8:1', '[::1]:7233', '::1', 'http://localhost:7233'],
    ...['[0:0:0:0:0:0:0:1]:7233'],
  ])('is not %s', (address) => {
    expect(isThisMachine(address)).toBe(true);
    expect(temporalConfig({ ...base, TEMPORAL_ADDRESS: address }).namespace).toBe('default');
  });

  it.each([
    ...['temporal:7233', 'localhost.evil.example:7233', '127.0.0.1.evil.example:1', '10.0.0.1:7233', '[::2]:7233'],
    ...['128.0.0.1', 'evil.example/localhost:1', '0.0.0.0:7233', '[::ffff:10.0.0.1]:1', ''],
  ])('is %s', (address) => {
    expect(isThisMachine(address)).toBe(false);
  });
});

describe('a kubeconfig', () => {
  const write = async (cluster: object, user: object): Promise<string> => {
    const file = path.join(dir, 'kubeconfig');
    const config = {
      ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'c' },
      clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:1', ...cluster } }],
      users: [{ name: 'u', user }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    };
    await writeFile(file, JSON.stringify(config));
    return file;
  };
  const marker = (): string => path.join(dir, 'the-program-ran');
  const exec = () => ({
    exec: {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: 'touch',
      args: [marker()],
      interactiveMode: 'Never',
    },
  });
  const provider = (name: string, config: object) => ({ 'auth-provider': { name, config } });

  it.each([
    ['exec', exec],
    ['the provider gcp', () => provider('gcp', { 'cmd-path': 'touch', 'cmd-args': marker() })],
    ['the provider exec', () => provider('exec', exec())],
    ['a program in another provider', () => provider('oidc', exec())],
  ])('runs no program with %s', async (_title, user) => {
    const clusters = kubeconfigClusters(await write({}, user()));

    const refused = { type: 'CredentialsRefused', nonRetryable: false };
    await expect(clusters.connect('c')).rejects.toMatchObject(refused);
    // As for Helm, which runs the program itself.
    await expect(clusters.kubeconfigOf('c')).rejects.toMatchObject(refused);
    await expect(clusters.connect('c')).rejects.toThrow(/CNI_MIGRATION_ALLOW=exec-credentials/);
    expect(existsSync(marker())).toBe(false);
  });

  it('does not turn off the verification of the certificate', async () => {
    const file = await write({ 'insecure-skip-tls-verify': true }, { token: 't' });

    const connecting = kubeconfigClusters(file).connect('c');

    await expect(connecting).rejects.toMatchObject({ type: 'CredentialsRefused' });
    await expect(connecting).rejects.toThrow(
      /insecure-skip-tls-verify, which .* "allow: \[insecure-skip-tls-verify\]"/
    );
  });

  it('is allowed by name, for one cluster or for all', async () => {
    const file = await write({ 'insecure-skip-tls-verify': true }, exec());
    const allow = ['insecure-skip-tls-verify', 'exec-credentials'] as const;
    const settings = path.join(dir, 'worker.yaml');
    await writeFile(
      settings,
      `clusters: {yes: {kubeconfig: ${file}, allow: [${allow.join()}]}, no: {kubeconfig: ${file}}}`
    );
    const { clusters } = await readWorkerConfig({ ...base, CNI_MIGRATION_CONFIG: settings });
    const all = await readWorkerConfig({ ...base, KUBECONFIG: file, CNI_MIGRATION_ALLOW: allow.join() });

    await expect(clusters.connect('no')).rejects.toMatchObject({ type: 'CredentialsRefused' });
    // The program runs, and prints no credentials.
    for (const connect of [() => clusters.connect('yes'), () => all.clusters.connect('c')]) {
      await expect(connect()).rejects.toMatchObject({ type: 'CredentialsUnreadable' });
    }
    expect(existsSync(marker())).toBe(true);
  });
});

it('refuses a name that does not exist, so that a typing error allows nothing', () => {
  expect(parseAllowances(undefined)).toEqual([]);
  expect(parseAllowances(` ${allowances.join(' , ')} `)).toEqual(allowances);
  for (const wrong of ['all', '*', 'true', 'plaintext']) {
    expect(() => parseAllowances(wrong)).toThrow(`there is no "${wrong}"; the names are plaintext-temporal, `);
  }
});
