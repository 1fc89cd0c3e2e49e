import type { ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePort } from '../../lab/cluster/temporal.ts';
import { startProcess, stopProcesses } from '../../lab/cluster/processes.ts';
import { projectDir } from '../../lab/paths.ts';
import { identifyProcess, isRunning, run, succeeds, until } from '../../lab/process.ts';
import { DebianRoot } from '../support/debian-root.ts';
import { useLab } from '../support/lab.ts';
import { TemporalCli } from '../support/temporal-cli.ts';

/**
 * docker-compose.yml, without containers: each service's program, with the environment and the command that the file gives
 * it, in the file's order. Only addresses and ports differ.
 */
const lab = useLab({ nodes: 0 });

interface Service {
  environment?: Record<string, string>;
  entrypoint?: string[];
  image?: string;
  depends_on?: Record<string, { condition: string }>;
  ports?: { host_ip?: string; target: number }[];
  healthcheck?: { test: string[] };
  volumes?: { type: string; source: string; target: string; read_only?: boolean }[];
}

let dir: string;
let services: Record<string, Service>;
let database: DebianRoot;
let address: string;
let dbPort: string;
/** The server's own ports, which are no business of anybody else. */
const serverPorts: Record<string, string> = {};
const environment = { POSTGRES_PASSWORD: 'compose-secret-1', WORKER_FILES: '/tmp' };

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'cni-stack-'));
  services = (JSON.parse(await compose(environment)) as { services: Record<string, Service> }).services;
  dbPort = await freePort();
  for (const name of ['FRONTEND', 'MATCHING', 'HISTORY', 'WORKER']) {
    serverPorts[`${name}_GRPC_PORT`] = await lowPort();
    serverPorts[`${name}_MEMBERSHIP_PORT`] = await lowPort();
  }
  serverPorts['FRONTEND_HTTP_PORT'] = await freePort();
  address = `127.0.0.1:${serverPorts['FRONTEND_GRPC_PORT']}`;
  database = new DebianRoot(path.join(dir, 'db'), lab().catalogue.postgresqlLayers, 'postgres:postgres');
});

afterAll(async () => {
  await stopProcesses(path.join(dir, 'worker'));
  await stopProcesses(dir);
  await stopProcesses(path.join(dir, 'db'));
  await rm(dir, { recursive: true, force: true });
});

/** A free port that PostgreSQL's schema of Temporal has room for: its servers' ports are signed numbers of 16 bits. */
async function lowPort(): Promise<string> {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!free) continue;
    await new Promise((resolve) => server.close(resolve));
    return String(port);
  }
}

/** The file as the reference implementation of the Compose specification reads it. */
function compose(env: NodeJS.ProcessEnv, file = 'docker-compose.yml'): Promise<string> {
  return run(lab().catalogue.bin('compose-check'), [file], {
    cwd: projectDir,
    env: { PATH: process.env['PATH'], ...env },
  });
}

/** What a service is given, with the addresses of this test in the place of those of its network. */
function environmentOf(service: string): Record<string, string> {
  const given = services[service]?.environment ?? {};
  const here = Object.entries(given).map(([name, value]) => [
    name,
    value
      .replace(/^(postgresql|0\.0\.0\.0)$/, '127.0.0.1')
      .replace(/^5432$/, dbPort)
      .replace(/^temporal:7233$/, address)
      .replace(/^\/deploy\//, `${projectDir}/deploy/temporal/`),
  ]);
  return Object.fromEntries(here) as Record<string, string>;
}

/** Runs a service that ends. */
async function runOnce(service: string): Promise<string> {
  const [shell = '', script = ''] = services[service]?.entrypoint ?? [];
  const { catalogue } = lab();
  const bins = ['temporal-sql-tool', 'temporal'].map((name) => path.dirname(catalogue.bin(name)));
  const env = { ...environmentOf(service), TEMPORAL_SCHEMA_DIR: catalogue.temporalSchemas };
  return run(shell, [script.replace(/^\/deploy\//, `${projectDir}/deploy/temporal/`)], {
    env: { PATH: `${bins.join(':')}:${process.env['PATH']}`, HOME: dir, ...env },
  });
}

const psql = (query: string): Promise<string> =>
  database.run('psql', '--host', '127.0.0.1', '--port', dbPort, '-U', 'temporal', '-Atc', query);

async function startServer(): Promise<ChildProcess> {
  const server = lab().catalogue.bin('temporal-server');
  const env = { PATH: process.env['PATH'], ...environmentOf('temporal'), ...serverPorts };
  const child = await startProcess(dir, 'temporal', [server, '--allow-no-auth', 'start'], env);
  const { bin } = lab().catalogue;
  await until('Temporal', () => succeeds(bin('temporal'), ['--address', address, 'operator', 'cluster', 'health']), {
    timeoutMs: 90_000,
  });
  return child;
}

const temporal = (...args: string[]): Promise<string> =>
  run(lab().catalogue.bin('temporal'), ['--address', address, ...args]);

let server: ChildProcess;

it('is what the Compose specification allows', async () => {
  expect(Object.keys(services).sort()).toEqual([
    'postgresql',
    'temporal',
    'temporal-namespace',
    'temporal-schema',
    'temporal-ui',
    'worker',
  ]);
  const withCodec = { ...environment, COMPOSE_PROFILES: 'encryption', WORKER_ENV_FILE: '/dev/null' };
  expect(JSON.parse(await compose(withCodec))).toHaveProperty('services.codec-server');
  const broken = path.join(dir, 'broken.yml');
  await writeFile(
    broken,
    (await readFile(path.join(projectDir, 'docker-compose.yml'), 'utf8')).replace('image:', 'imag:')
  );
  await expect(compose(environment, broken)).rejects.toThrow(/imag/);
});

it('starts nothing without its secrets', async () => {
  for (const missing of Object.keys(environment)) {
    await expect(compose({ ...environment, [missing]: '' })).rejects.toThrow(
      new RegExp(`${missing} is missing a value.*set it in .env`)
    );
  }
});

it('has an order, and is reached from this machine alone', () => {
  const waits = (service: string) =>
    Object.entries(services[service]?.depends_on ?? {}).map(([on, { condition }]) => `${on} ${condition}`);
  expect(waits('temporal-schema')).toEqual(['postgresql service_healthy']);
  expect(waits('temporal')).toEqual(['temporal-schema service_completed_successfully']);
  expect(waits('temporal-namespace')).toEqual(['temporal service_healthy']);
  expect(waits('worker')).toEqual(['temporal-namespace service_completed_successfully']);
  const ports = Object.values(services).flatMap(({ ports = [] }) => ports);
  expect(ports.length).toBeGreaterThan(0);
  expect(ports.filter(({ host_ip }) => host_ip !== '127.0.0.1')).toEqual([]);
  expect(services['postgresql']?.volumes).toMatchObject([{ type: 'volume', target: '/var/lib/postgresql/data' }]);
});

it('has a database', async () => {
  const given = environmentOf('postgresql');
  await mkdir(database.share, { recursive: true });
  const bin = '/usr/lib/postgresql/15/bin';
  await database.run(`${bin}/initdb`, '-D', '/tmp/data', '--username', given['POSTGRES_USER'] ?? '', '--auth', 'trust');
  const options = ['-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories='];
  await database.start('postgresql', `${bin}/postgres`, '-D', '/tmp/data', '-p', dbPort, ...options);
  // The file's own health check.
  const check = ['pg_isready', '--host', '127.0.0.1', '--port', dbPort, '--username', 'temporal'];
  const answers = (): Promise<boolean> =>
    database.run(...check).then(
      () => true,
      () => false
    );
  await until('PostgreSQL', answers, { timeoutMs: 30_000 });
});

it('sets the schema up, and finds it so the next time', async () => {
  await runOnce('temporal-schema');
  const versions = async (): Promise<string> => psql('SELECT curr_version FROM schema_version');
  const query = 'SELECT count(*) FROM pg_database WHERE datname LIKE $$temporal%$$';
  // The database that is called like its user is there from the start.
  expect((await psql(query)).trim()).toBe('2');
  const before = await versions();
  expect(before.trim()).toMatch(/^\d+\.\d+$/);
  await runOnce('temporal-schema');
  expect(await versions()).toBe(before);
});

it('runs Temporal on it, with namespace and search attributes', async () => {
  server = await startServer();
  await runOnce('temporal-namespace');
  await runOnce('temporal-namespace');
  const text = await temporal('operator', 'namespace', 'describe', '--namespace', 'default', '-o', 'json');
  expect(text).toContain('7776000s');
  const attributes = await temporal('operator', 'search-attribute', 'list', '--namespace', 'default');
  for (const name of ['CniCluster', 'CniPhase', 'CniWaitingFor'])
    expect(attributes).toMatch(new RegExp(`${name}\\s+Keyword`));
});

it('runs the worker, healthy as the file would have it', async () => {
  const healthPort = await freePort();
  const files = path.join(dir, 'files');
  await mkdir(files);
  const { kubeconfig, context } = lab().layout;
  await writeFile(path.join(files, 'worker.yaml'), JSON.stringify({ clusters: { prod: { kubeconfig, context } } }));
  const env = {
    ...process.env,
    ...environmentOf('worker'),
    CNI_MIGRATION_CONFIG: path.join(files, 'worker.yaml'),
    CNI_MIGRATION_HEALTH_ADDRESS: `127.0.0.1:${healthPort}`,
    CNI_MIGRATION_METRICS_ADDRESS: `127.0.0.1:${await freePort()}`,
    HELM: lab().catalogue.bin('helm'),
  };
  const worker = path.join(projectDir, 'worker');
  await startProcess(path.join(dir, 'worker'), 'worker', [process.execPath, path.join(worker, 'main.ts')], env);
  expect(services['worker']?.healthcheck?.test).toEqual([
    'CMD',
    'node',
    '/app/worker/healthcheck.ts',
    'http://127.0.0.1:8090/readyz',
  ]);
  const check = [path.join(worker, 'healthcheck.ts'), `http://127.0.0.1:${healthPort}/readyz`];
  await until('the worker', () => succeeds(process.execPath, check), { timeoutMs: 60_000 });
});

it('has an image whose steps can be taken, and whose worker finds all it needs', async () => {
  const app = path.join(dir, 'app');
  await mkdir(app);
  const steps = (await readFile(path.join(projectDir, 'Dockerfile'), 'utf8')).split('\n');
  const env = { ...process.env, HOME: dir };
  for (const step of steps) {
    const [, from = '', to = ''] = /^COPY (?!--)(.*) (\S+)$/.exec(step) ?? [];
    for (const one of from.split(' ').filter(Boolean)) {
      await cp(path.join(projectDir, one), path.join(app, to, to === './' ? one : ''), { recursive: true });
    }
    const [, command = ''] = /^RUN ((?:npm|node) .*)$/.exec(step) ?? [];
    if (command !== '') await run('sh', ['-c', command.replaceAll('/app/', './')], { cwd: app, env });
  }
  const kubeconfig = { KUBECONFIG: lab().layout.kubeconfig, HELM: lab().catalogue.bin('helm') };
  const worker = { ...env, ...kubeconfig, TEMPORAL_ADDRESS: address, CNI_MIGRATION_BUNDLES: path.join(app, 'bundles') };
  const check = 'node worker/main.ts --check 2>&1';
  expect(await run('sh', ['-c', check], { cwd: app, env: worker })).toContain('nothing is missing');
  expect(await run(path.join(app, 'cni-migrate'), ['--help'], { env })).toContain('Exit codes');
});

it('answers a migration, and still knows it when the server was killed', async () => {
  const cli = new TemporalCli({ cli: temporal }, 'prod');
  await cli.start('{"cluster": "prod"}');
  expect(await cli.end()).toMatchObject({ failure: { type: 'SourceNotFound' } });
  const killed = await identifyProcess(server.pid ?? 0);
  server.kill('SIGKILL');
  await until('its end', async () => killed === undefined || !(await isRunning(killed)), { timeoutMs: 10_000 });
  server = await startServer();
  expect(await cli.end()).toMatchObject({ failure: { type: 'SourceNotFound' } });
  const found = await temporal('workflow', 'list', '--query', 'CniCluster = "prod" AND CniPhase = "preflight"');
  expect(found).toContain('cni-migration/prod');
});
