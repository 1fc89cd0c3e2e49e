import type { ChildProcess } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePort } from '../../lab/cluster/temporal.ts';
import { startProcess, stopProcesses } from '../../lab/cluster/processes.ts';
import { projectDir } from '../../lab/paths.ts';
import { identifyProcess, isRunning, run, succeeds, waitFor } from '../../lab/process.ts';
import { ComposeStack, composeEnvironment, readCompose, type ComposeFile } from '../support/compose-stack.ts';
import { useLab } from '../support/lab.ts';
import { TemporalCli } from '../support/temporal-cli.ts';
import { timeLimits } from '../support/time-limits.ts';

/**
 * docker-compose.yml without containers: each service's program, with the environment and the command that the file
 * specifies, in the file's order. Only addresses and ports differ.
 */
const lab = useLab({ nodes: 0 });

let dir: string;
let stack: ComposeStack;
let server: ChildProcess;

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'cni-stack-'));
  stack = await ComposeStack.read(lab().catalogue, dir);
});

afterAll(async () => {
  await stopProcesses(path.join(dir, 'worker'));
  await stack.stop();
  await rm(dir, { recursive: true, force: true });
});

const compose = (env: NodeJS.ProcessEnv, file?: string): Promise<string> => readCompose(lab().catalogue, env, file);

it('conforms to the Compose specification', async () => {
  expect(Object.keys(stack.services).sort()).toEqual([
    'postgresql',
    'temporal',
    'temporal-namespace',
    'temporal-schema',
    'temporal-ui',
    'worker',
  ]);
  const withCodec = { ...composeEnvironment, COMPOSE_PROFILES: 'encryption', WORKER_ENV_FILE: '/dev/null' };
  expect(JSON.parse(await compose(withCodec))).toHaveProperty('services.codec-server');
  const broken = path.join(dir, 'broken.yml');
  await writeFile(
    broken,
    (await readFile(path.join(projectDir, 'docker-compose.yml'), 'utf8')).replace('image:', 'imag:')
  );
  await expect(compose(composeEnvironment, broken)).rejects.toThrow(/imag/);
});

it('does not start without its secrets', async () => {
  for (const missing of Object.keys(composeEnvironment)) {
    await expect(compose({ ...composeEnvironment, [missing]: '' })).rejects.toThrow(
      new RegExp(`${missing} is missing a value.*set it in .env`)
    );
  }
});

it('starts in order, and is reachable from this machine only', () => {
  const dependencies = (service: string) =>
    Object.entries(stack.services[service]?.depends_on ?? {}).map(([on, { condition }]) => `${on} ${condition}`);
  expect(dependencies('temporal-schema')).toEqual(['postgresql service_healthy']);
  expect(dependencies('temporal')).toEqual(['temporal-schema service_completed_successfully']);
  expect(dependencies('temporal-namespace')).toEqual(['temporal service_healthy']);
  expect(dependencies('worker')).toEqual(['temporal-namespace service_completed_successfully']);
  const ports = Object.values(stack.services).flatMap(({ ports = [] }) => ports);
  expect(ports.length).toBeGreaterThan(0);
  expect(ports.filter(({ host_ip }) => host_ip !== '127.0.0.1')).toEqual([]);
  expect(stack.services['postgresql']?.volumes).toMatchObject([{ type: 'volume', target: '/var/lib/postgresql/data' }]);
});

it('gives no service more than it needs', async () => {
  const withCodec = { ...composeEnvironment, COMPOSE_PROFILES: 'encryption', WORKER_ENV_FILE: '/dev/null' };
  const { services, networks } = JSON.parse(await compose(withCodec)) as ComposeFile;
  expect(Object.keys(services)).toContain('codec-server');
  for (const [name, service] of Object.entries(services)) {
    expect({ name, ...service }).toMatchObject({
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
      init: true,
      mem_limit: expect.anything() as unknown,
      logging: { options: { 'max-size': '10m' } },
    });
    // The entry point of the Web UI writes its own configuration.
    expect(service.read_only ?? false).toBe(name !== 'temporal-ui');
    expect(service.image).toMatch(/:[\w.-]*\d+\.\d+/);
  }
  const inNetwork = (network: string): string[] =>
    Object.keys(services).filter((name) => network in (services[name]?.networks ?? {}));
  expect(networks['database']).toMatchObject({ internal: true });
  expect(inNetwork('database').sort()).toEqual(['postgresql', 'temporal', 'temporal-schema']);
  expect(inNetwork('codec')).toEqual(['codec-server']);
  const withSecret = Object.keys(services).filter((name) => services[name]?.secrets !== undefined);
  expect(withSecret.sort()).toEqual(['postgresql', 'temporal', 'temporal-schema']);
  expect(services['codec-server']?.environment).toHaveProperty('CNI_MIGRATION_CODEC_TOKEN_FILE');
  expect(services['codec-server']?.healthcheck?.test.at(-1)).toBe('http://127.0.0.1:8091/livez');
});

it('checks the health of every service that runs, except the Web UI', async () => {
  const withCodec = { ...composeEnvironment, COMPOSE_PROFILES: 'encryption', WORKER_ENV_FILE: '/dev/null' };
  const { services } = JSON.parse(await compose(withCodec)) as ComposeFile;
  const checked = Object.keys(services).filter((name) => services[name]?.healthcheck !== undefined);
  expect(checked.sort()).toEqual(['codec-server', 'postgresql', 'temporal', 'worker']);
});

it('knows the codec server in the Web UI, and uses no setting that Temporal advises against in production', async () => {
  const endpoint = 'http://127.0.0.1:8091';
  const { services } = JSON.parse(
    await compose({ ...composeEnvironment, TEMPORAL_CODEC_ENDPOINT: endpoint })
  ) as ComposeFile;
  expect(services['temporal-ui']?.environment).toMatchObject({ TEMPORAL_CODEC_ENDPOINT: endpoint });
  const settings = await readFile(path.join(projectDir, 'deploy', 'temporal', 'dynamic-config.yaml'), 'utf8');
  expect(settings).not.toContain('forceSearchAttributesCacheRefreshOnRead');
});

it('has the password of the database in a file only', async () => {
  const password = (await readFile(path.join(dir, 'postgres-password'), 'utf8')).trim();
  expect(password.length).toBeGreaterThan(20);
  expect(JSON.stringify(stack.services)).not.toContain(password);
});

it('has a database', () => stack.startDatabase());

it('sets up the schema, idempotently', async () => {
  await stack.runOnce('temporal-schema');
  const versions = async (): Promise<string> => stack.psql('SELECT curr_version FROM schema_version');
  const query = 'SELECT count(*) FROM pg_database WHERE datname LIKE $$temporal%$$';
  // The database with the name of its user exists from the start.
  expect((await stack.psql(query)).trim()).toBe('2');
  const before = await versions();
  expect(before.trim()).toMatch(/^\d+\.\d+$/);
  await stack.runOnce('temporal-schema');
  expect(await versions()).toBe(before);
});

it('runs Temporal on the database, with namespace and search attributes', async () => {
  server = await stack.startServer();
  await stack.runOnce('temporal-namespace');
  await stack.runOnce('temporal-namespace');
  const text = await stack.temporal('operator', 'namespace', 'describe', '--namespace', 'default', '-o', 'json');
  expect(text).toContain('7776000s');
  const attributes = await stack.temporal('operator', 'search-attribute', 'list', '--namespace', 'default');
  for (const name of ['CniCluster', 'CniNeeds', 'CniPhase', 'CniWaitingFor'])
    expect(attributes).toMatch(new RegExp(`${name}\\s+Keyword`));
});

it("runs the worker, which is healthy by the file's check", async () => {
  const healthPort = await freePort();
  const files = path.join(dir, 'files');
  await mkdir(files);
  const { kubeconfig, context } = lab().layout;
  await writeFile(path.join(files, 'worker.yaml'), JSON.stringify({ clusters: { prod: { kubeconfig, context } } }));
  const env = {
    ...process.env,
    ...stack.buildEnvironment('worker'),
    CNI_MIGRATION_CONFIG: path.join(files, 'worker.yaml'),
    CNI_MIGRATION_HEALTH_ADDRESS: `127.0.0.1:${healthPort}`,
    CNI_MIGRATION_METRICS_ADDRESS: `127.0.0.1:${await freePort()}`,
    HELM: lab().catalogue.bin('helm'),
  };
  const worker = path.join(projectDir, 'worker');
  await startProcess(path.join(dir, 'worker'), 'worker', [process.execPath, path.join(worker, 'main.ts')], env);
  expect(stack.services['worker']?.healthcheck?.test).toEqual([
    'CMD',
    'node',
    '/app/worker/healthcheck.ts',
    'http://127.0.0.1:8090/readyz',
  ]);
  const check = [path.join(worker, 'healthcheck.ts'), `http://127.0.0.1:${healthPort}/readyz`];
  await waitFor('the worker', () => succeeds(process.execPath, check), { timeoutMs: timeLimits.serviceStart });
});

it('has an image whose steps run, and whose worker finds all it needs', async () => {
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
  // The image has its Node.js from its base image.
  expect((await readdir(path.join(app, 'node_modules'))).filter((name) => name.startsWith('node-linux'))).toEqual([]);
  const kubeconfig = { KUBECONFIG: lab().layout.kubeconfig, HELM: lab().catalogue.bin('helm') };
  const worker = {
    ...env,
    ...kubeconfig,
    TEMPORAL_ADDRESS: stack.address,
    CNI_MIGRATION_BUNDLES: path.join(app, 'bundles'),
  };
  const check = 'node worker/main.ts --check 2>&1';
  expect(await run('sh', ['-c', check], { cwd: app, env: worker })).toContain('startup check passed');
  expect(await run(path.join(app, 'cni-migrate'), ['--help'], { env })).toContain('Exit codes');
});

it('runs a migration, and retains it when the server was killed', async () => {
  const cli = new TemporalCli({ cli: (...args) => stack.temporal(...args) }, 'prod');
  await cli.start('{"cluster": "prod"}');
  expect(await cli.waitForEnd()).toMatchObject({ failure: { type: 'SourceNotFound' } });
  const killed = await identifyProcess(server.pid ?? 0);
  server.kill('SIGKILL');
  await waitFor('its end', async () => killed === undefined || !(await isRunning(killed)), {
    timeoutMs: timeLimits.serviceStop,
  });
  server = await stack.startServer();
  expect(await cli.waitForEnd()).toMatchObject({ failure: { type: 'SourceNotFound' } });
  const listed = await stack.temporal('workflow', 'list', '--query', 'CniCluster = "prod" AND CniPhase = "preflight"');
  expect(listed).toContain('cni-migration/prod');
});
