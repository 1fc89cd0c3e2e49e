import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Lab } from '../../lab/cluster/lab.ts';
import { projectDir } from '../../lab/paths.ts';

/** Credentials of a pod with the worker's account; the certificate is that of the API server's authority, in base64. */
interface AccountCredentials {
  token: string;
  certificate: string;
}

/** Creates the worker's account, with exactly the permissions of deploy/rbac/worker.yaml. */
export async function accountCredentials(lab: Lab): Promise<AccountCredentials> {
  await lab.kubectl('apply', '--server-side', '-f', path.join(projectDir, 'deploy', 'rbac', 'worker.yaml'));
  const account = ['--namespace', 'cni-migration', 'cni-migration-worker'];
  const token = (await lab.kubectl('create', 'token', '--duration', '24h', ...account)).trim();
  const shown = await lab.kubectl('config', 'view', '--raw', '--minify', '--flatten', '-o', 'json');
  const { clusters } = JSON.parse(shown) as { clusters: [{ cluster: { 'certificate-authority-data': string } }] };
  return { token, certificate: clusters[0].cluster['certificate-authority-data'] };
}

/**
 * Writes a kubeconfig with the worker's account.
 * @returns its path.
 */
export async function workerAccount(lab: Lab): Promise<string> {
  const { apiServer, context, dir } = lab.layout;
  const { token, certificate } = await accountCredentials(lab);
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'lab', cluster: { server: apiServer, 'certificate-authority-data': certificate } }],
    users: [{ name: 'worker', user: { token } }],
    contexts: [{ name: context, context: { cluster: 'lab', user: 'worker' } }],
    'current-context': context,
  };
  const file = path.join(dir, 'worker.kubeconfig');
  await writeFile(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}
