import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Lab } from '../../lab/cluster/lab.ts';
import { projectDir } from '../../lab/paths.ts';

/**
 * Gives the worker the account and the rights of deploy/rbac/worker.yaml, and nothing else.
 * @returns a kubeconfig with that account.
 */
export async function workerAccount(lab: Lab): Promise<string> {
  const { apiServer, context, dir } = lab.layout;
  await lab.kubectl('apply', '--server-side', '-f', path.join(projectDir, 'deploy', 'rbac', 'worker.yaml'));
  const account = ['--namespace', 'cni-migration', 'cni-migration-worker'];
  const token = (await lab.kubectl('create', 'token', '--duration', '24h', ...account)).trim();
  const shown = await lab.kubectl('config', 'view', '--raw', '--minify', '--flatten', '-o', 'json');
  const { clusters } = JSON.parse(shown) as { clusters: { name: string; cluster: object }[] };
  const [{ name = '', cluster = { server: apiServer } } = {}] = clusters;
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster }],
    users: [{ name: 'worker', user: { token } }],
    contexts: [{ name: context, context: { cluster: name, user: 'worker' } }],
    'current-context': context,
  };
  const file = path.join(dir, 'worker.kubeconfig');
  await writeFile(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}
