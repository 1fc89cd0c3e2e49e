import { execFile, type ExecFileOptions } from 'node:child_process';
import path from 'node:path';

/** Folder of the project. */
export const projectDir = path.join(import.meta.dirname, '..');

/** Go modules whose programs the project's images contain. */
export const shippedModules = ['prober', 'coexistence'] as const;

/** Environment of Go commands: the target for which the images' Dockerfiles build. */
export const imageTarget = { GOOS: 'linux', CGO_ENABLED: '0', GOWORK: 'off' };

/** Returns the folder of a shipped Go module. */
export function moduleDir(name: (typeof shippedModules)[number]): string {
  return path.join(projectDir, 'images', name);
}

/** Outcome of a command that ended. */
export interface CommandResult {
  /** Exit code; undefined when the command could not be started or was ended by a signal. */
  code: number | undefined;
  stdout: string;
  stderr: string;
}

/** Maximum duration of a command, which may first download and compile a tool, in ms. */
const commandTimeoutMs = 15 * 60_000;

/** Runs a command without a shell. Never throws: the result of a command that cannot be started has no exit code. */
export function runCommand(
  command: string,
  args: readonly string[],
  options: Pick<ExecFileOptions, 'cwd' | 'env'> = {}
): Promise<CommandResult> {
  const limits = { encoding: 'utf8', maxBuffer: 256 * 1024 * 1024, timeout: commandTimeoutMs } as const;
  return new Promise((resolve) => {
    execFile(command, [...args], { ...options, ...limits }, (error, stdout, stderr) => {
      if (error === null) return resolve({ code: 0, stdout, stderr });
      const exited = typeof error.code === 'number';
      resolve({ code: exited ? Number(error.code) : undefined, stdout, stderr: stderr || error.message });
    });
  });
}
