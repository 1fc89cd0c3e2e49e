import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../process.ts';

/** Validity of a lab's certificates in days. */
const validDays = '365';

/**
 * Creates a lab's keys in `dir`, or keeps existing ones: a certificate authority, and a key for service account tokens.
 */
export async function createAuthority(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const cwd = dir;
  if (!existsSync(path.join(dir, 'ca.crt'))) {
    const ca = ['-keyout', 'ca.key', '-out', 'ca.crt', '-days', validDays, '-subj', '/CN=lab-ca'];
    await run('openssl', ['req', '-x509', ...newKey, ...ca], { cwd });
  }
  if (!existsSync(path.join(dir, 'sa.pub'))) {
    await run('openssl', ['genrsa', '-out', 'sa.key', '2048'], { cwd });
    await run('openssl', ['rsa', '-in', 'sa.key', '-pubout', '-out', 'sa.pub'], { cwd });
  }
}

/** Key type: an elliptic curve, because a new RSA key takes seconds on a busy machine. */
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** Creates `<name>.key` and `<name>.crt` unless they exist. `names` are DNS:… and IP:… entries. */
export async function createCertificate(
  dir: string,
  name: string,
  subject: string,
  names: readonly string[]
): Promise<void> {
  if (existsSync(path.join(dir, `${name}.crt`))) return;
  const cwd = dir;
  const extensions = path.join(dir, `${name}.ext`);
  await writeFile(extensions, `subjectAltName=${names.length > 0 ? names.join(',') : `DNS:${name}`}\n`);
  await run('openssl', ['req', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject], { cwd });
  const sign = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', validDays, '-extfile', extensions];
  await run('openssl', ['x509', '-req', '-in', `${name}.csr`, ...sign, '-out', `${name}.crt`], { cwd });
  await Promise.all([extensions, path.join(dir, `${name}.csr`)].map((file) => rm(file)));
}

/** Writes a kubeconfig that authenticates with a certificate of the lab. */
export async function writeKubeconfig(
  file: string,
  pki: string,
  user: string,
  server: string,
  context: string
): Promise<void> {
  const base64 = async (name: string): Promise<string> => (await readFile(path.join(pki, name))).toString('base64');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': context,
    clusters: [{ name: context, cluster: { server, 'certificate-authority-data': await base64('ca.crt') } }],
    users: [
      {
        name: `${context}-${user}`,
        user: {
          'client-certificate-data': await base64(`${user}.crt`),
          'client-key-data': await base64(`${user}.key`),
        },
      },
    ],
    contexts: [{ name: context, context: { cluster: context, user: `${context}-${user}` } }],
  };
  // JSON is YAML.
  await writeFile(file, JSON.stringify(config, null, 2), { mode: 0o600 });
}
