import type { ChildProcess } from 'node:child_process';
import { randomInt, randomUUID } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { startProcess, stopProcesses } from '../../lab/cluster/processes.ts';
import { freePort } from '../../lab/cluster/temporal.ts';
import { projectDir } from '../../lab/paths.ts';
import { run, succeeds, waitFor } from '../../lab/process.ts';
import type { Catalogue } from '../../lab/tools/catalogue.ts';
import { DebianRoot } from './debian-root.ts';
import { timeLimits } from './time-limits.ts';

/** Settings of a service in docker-compose.yml. */
export interface ComposeService {
  environment?: Record<string, string>;
  entrypoint?: string[];
  image?: string;
  depends_on?: Record<string, { condition: string }>;
  ports?: { host_ip?: string; target: number }[];
  networks?: Record<string, unknown>;
  secrets?: { source: string }[];
  healthcheck?: { test: string[] };
  cap_drop?: string[];
  security_opt?: string[];
  init?: boolean;
  read_only?: boolean;
  tmpfs?: string[];
  mem_limit?: string;
  logging?: { options?: Record<string, string> };
  volumes?: { type: string; source: string; target: string; read_only?: boolean }[];
}

/** A Compose file, as far as it is read here. */
export interface ComposeFile {
  services: Record<string, ComposeService>;
  secrets: Record<string, { file: string }>;
  networks: Record<string, { internal?: boolean }>;
}

/** Values of the variables that docker-compose.yml requires. */
export const composeEnvironment = { POSTGRES_PASSWORD_FILE: '/tmp/postgres-password', WORKER_FILES: '/tmp' };

/**
 * Temporal's server and its database as in docker-compose.yml, without containers: each service's program, with the
 * environment and the command that the file specifies. Only addresses and ports differ.
 */
export class ComposeStack {
  readonly services: Record<string, ComposeService>;
  readonly networks: ComposeFile['networks'];
  private readonly secrets: ComposeFile['secrets'];
  /** Address of Temporal's frontend. */
  readonly address: string;
  private readonly catalogue: Catalogue;
  private readonly dir: string;
  private readonly database: DebianRoot;
  private readonly dbPort: string;
  /** Ports that only the server itself uses. */
  private readonly serverPorts: Record<string, string>;

  private constructor(
    catalogue: Catalogue,
    dir: string,
    file: ComposeFile,
    dbPort: string,
    serverPorts: Record<string, string>
  ) {
    this.catalogue = catalogue;
    this.dir = dir;
    this.services = file.services;
    this.networks = file.networks;
    this.secrets = file.secrets;
    this.dbPort = dbPort;
    this.serverPorts = serverPorts;
    this.address = `127.0.0.1:${serverPorts['FRONTEND_GRPC_PORT']}`;
    this.database = new DebianRoot(path.join(dir, 'db'), catalogue.postgresqlLayers, 'postgres:postgres');
  }

  /**
   * Reads the file; nothing runs yet.
   * @param dir folder for the output of its programs.
   */
  static async read(catalogue: Catalogue, dir: string): Promise<ComposeStack> {
    const passwordFile = path.join(dir, 'postgres-password');
    await writeFile(passwordFile, `${randomUUID()}\n`);
    const env = { ...composeEnvironment, POSTGRES_PASSWORD_FILE: passwordFile };
    const file = JSON.parse(await readCompose(catalogue, env)) as ComposeFile;
    const serverPorts: Record<string, string> = {};
    for (const name of ['FRONTEND', 'MATCHING', 'HISTORY', 'WORKER']) {
      serverPorts[`${name}_GRPC_PORT`] = await lowPort();
      serverPorts[`${name}_MEMBERSHIP_PORT`] = await lowPort();
    }
    serverPorts['FRONTEND_HTTP_PORT'] = await freePort();
    return new ComposeStack(catalogue, dir, file, await freePort(), serverPorts);
  }

  /**
   * Returns the environment of a service, with local addresses instead of those of the service's network, and the files
   * of its secrets.
   */
  buildEnvironment(service: string): Record<string, string> {
    const given = this.services[service]?.environment ?? {};
    const entries = Object.entries(given).map(([name, value]) => [
      name,
      value
        .replace(/^(postgresql|0\.0\.0\.0)$/, '127.0.0.1')
        .replace(/^5432$/, this.dbPort)
        .replace(/^temporal:7233$/, this.address)
        .replace(/^\/deploy\/.*/, toProjectPath)
        .replace(/^\/run\/secrets\/(.*)$/, (mounted, name: string) => this.secretFile(service, name) ?? mounted),
    ]);
    return Object.fromEntries(entries) as Record<string, string>;
  }

  /** Returns the file of a secret; undefined when the service does not have the secret. */
  private secretFile(service: string, name: string): string | undefined {
    const { secrets = [] } = this.services[service] ?? {};
    return secrets.some(({ source }) => source === name) ? this.secrets[name]?.file : undefined;
  }

  private async readPassword(): Promise<string> {
    return (await readFile(this.buildEnvironment('postgresql')['POSTGRES_PASSWORD_FILE'] ?? '', 'utf8')).trim();
  }

  /** Starts PostgreSQL, with an empty database that requires its password. */
  async startDatabase(): Promise<void> {
    const { database, dbPort } = this;
    const user = this.buildEnvironment('postgresql')['POSTGRES_USER'] ?? '';
    await mkdir(database.share, { recursive: true });
    const bin = '/usr/lib/postgresql/15/bin';
    await writeFile(path.join(database.share, 'password'), await this.readPassword());
    const auth = ['--auth', 'scram-sha-256', '--pwfile', '/share/password'];
    await database.run(`${bin}/initdb`, '-D', '/tmp/data', '--username', user, ...auth);
    const options = ['-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories='];
    await database.start('postgresql', `${bin}/postgres`, '-D', '/tmp/data', '-p', dbPort, ...options);
    // The health check of the file.
    const check = ['pg_isready', '--host', '127.0.0.1', '--port', dbPort, '--username', 'temporal'];
    const answers = (): Promise<boolean> =>
      database.run(...check).then(
        () => true,
        () => false
      );
    await waitFor('PostgreSQL', answers, { timeoutMs: timeLimits.serviceStart });
  }

  /** Runs a service that ends. */
  async runOnce(service: string): Promise<string> {
    const [shell = '', ...words] = this.services[service]?.entrypoint ?? [];
    const bins = ['temporal-sql-tool', 'temporal'].map((name) => path.dirname(this.catalogue.bin(name)));
    const env = { ...this.buildEnvironment(service), TEMPORAL_SCHEMA_DIR: this.catalogue.temporalSchemas };
    return run(shell, words.map(toProjectPath), {
      env: { PATH: `${bins.join(':')}:${process.env['PATH']}`, HOME: this.dir, ...env },
    });
  }

  /** Starts Temporal's server, and waits until it answers. */
  async startServer(): Promise<ChildProcess> {
    const env = { PATH: process.env['PATH'], ...this.buildEnvironment('temporal'), ...this.serverPorts };
    const entrypoint = (this.services['temporal']?.entrypoint ?? []).map(toProjectPath);
    // The last word is the script of the image, which starts the server.
    const command = [...entrypoint.slice(0, -1), this.catalogue.bin('temporal-server'), 'start'];
    const child = await startProcess(this.dir, 'temporal', command, env);
    const health = ['--address', this.address, 'operator', 'cluster', 'health'];
    await waitFor('Temporal', () => succeeds(this.catalogue.bin('temporal'), health), {
      timeoutMs: timeLimits.serviceStart,
    });
    return child;
  }

  /** Starts all services in the file's order, except its worker. */
  async start(): Promise<void> {
    await this.startDatabase();
    await this.runOnce('temporal-schema');
    await this.startServer();
    await this.runOnce('temporal-namespace');
  }

  /** Runs a query on the database. */
  async psql(query: string): Promise<string> {
    const psql = ['psql', '--host', '127.0.0.1', '--port', this.dbPort, '-U', 'temporal', '-Atc', query];
    return this.database.run('env', `PGPASSWORD=${await this.readPassword()}`, ...psql);
  }

  /** Runs the Temporal CLI against the server. */
  temporal(...args: string[]): Promise<string> {
    return run(this.catalogue.bin('temporal'), ['--address', this.address, ...args]);
  }

  /** Stops all running services. */
  async stop(): Promise<void> {
    await stopProcesses(this.dir);
    await stopProcesses(path.join(this.dir, 'db'));
  }
}

/** Returns the path in the project of a file that the containers have in /deploy. */
function toProjectPath(word: string): string {
  return word.replace(/^\/deploy\//, `${projectDir}/deploy/temporal/`);
}

/** Returns a Compose file as JSON, as the reference implementation of the Compose specification reads it. */
export function readCompose(
  catalogue: Catalogue,
  env: NodeJS.ProcessEnv,
  file = 'docker-compose.yml'
): Promise<string> {
  return run(catalogue.bin('compose-check'), [file], {
    cwd: projectDir,
    env: { PATH: process.env['PATH'], ...env },
  });
}

/**
 * Returns a free port that fits into PostgreSQL's schema of Temporal: its servers' ports are signed numbers of 16 bits.
 */
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
