import { spawn } from 'node:child_process';
import path from 'node:path';

/**
 * All benches, one after the other, because each needs the whole machine. docs/performance.md is written afterwards.
 */
const benches: readonly (readonly string[])[] = [
  ['peer/main.ts', '--nodes', '3', '--waves', '1', '--pairs', '3'],
  ['peer/main.ts', '--nodes', '5', '--waves', '2', '--pairs', '3'],
  ['scale/main.ts', '--nodes', '100'],
  ['scale/main.ts', '--nodes', '1000'],
  ['scale/main.ts', '--nodes', '5000'],
  ['scale/main.ts', '--nodes', '1000', '--workers', '3', '--kill-every', '60', '--postgresql'],
  ['policies/main.ts'],
  ['temporal/main.ts'],
  ['recovery/main.ts'],
  ['identity-bridge.ts'],
  ['report.ts'],
];

for (const [script = '', ...args] of benches) {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, script), ...args], { stdio: 'inherit' });
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  // A regression also shows in the exit code; the other benches still run.
  if (code !== 0) process.exitCode = 1;
}
