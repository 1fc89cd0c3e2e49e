import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { CancelledFailure } from '@temporalio/common';
import { Context } from '@temporalio/activity';
import type { FailureType } from '../../model/failure-types.ts';
import { failure } from '../support/failures.ts';
import { heartbeat } from '../support/heartbeat.ts';

/** Settings for running Helm. */
export interface HelmSettings {
  /** Path of the Helm binary, version 3.17.3 or newer, or 4.1.4 or newer. */
  binary: string;
  /**
   * Allowed sources of charts: `oci://` references or folders, including everything below them.
   * @default any source that an input can name
   */
  charts?: readonly string[] | undefined;
  /**
   * Returns the digests that charts of a cluster may have: `chartDigests` in the policy of the worker's file.
   * @default every digest
   */
  chartDigests?: (cluster: string) => readonly string[] | undefined;
}

/**
 * Returns the arguments that name a chart: a path alone, any other chart with its version.
 * @throws InvalidInput when the worker may not take charts from this source.
 */
export function chartArguments({ charts }: HelmSettings, chart: string, version: string): string[] {
  if (charts !== undefined && !charts.some((source) => chart === source || chart.startsWith(`${source}/`))) {
    const allowed = charts.join(', ') || 'nowhere';
    throw failure('InvalidInput', `chart: the worker takes no chart from ${chart}; it takes them from ${allowed}`);
  }
  return chart.startsWith('/') ? [chart] : [chart, '--version', version];
}

/** Returns the type of a failure by the end of Helm's output, which contains the message of Helm's Kubernetes client. */
export function helmFailureType(errorOutput: string): FailureType {
  // k8s.io/apimachinery pkg/api/errors, NewGenericServerResponse and NewUnauthorized.
  if (/the server has asked for the client to provide credentials|Unauthorized/.test(errorOutput))
    return 'CredentialsRejected';
  // helm.sh/helm pkg/kube/client.go, IsReachable.
  if (/cluster unreachable/i.test(errorOutput)) return 'ClusterUnreachable';
  return 'HelmFailed';
}

/** Maximum length of Helm's output in bytes: many times that of Cilium's chart. More would exhaust the worker's memory. */
const maxOutputBytes = 20_000_000;

/** Collects the output of a program, up to a limit. The rest is read, so that the program can end, and dropped. */
function collectOutput(stream: Readable, onTooLong: () => void = () => undefined) {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    const isOver = bytes > maxOutputBytes;
    bytes += chunk.length;
    if (bytes <= maxOutputBytes) chunks.push(chunk);
    else if (!isOver) onTooLong();
  });
  return { text: () => Buffer.concat(chunks).toString(), isTooLong: () => bytes > maxOutputBytes };
}

/**
 * Runs Helm without a shell. Cancellation lets Helm terminate gracefully, so that the release is not left pending.
 * @throws HelmFailed with the end of Helm's output; not retryable when the output is too long.
 */
export async function runHelm({ binary }: HelmSettings, args: readonly string[], input = ''): Promise<string> {
  const context = Context.current();
  const child = spawn(binary, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const stop = (): void => void child.kill('SIGTERM');
  context.cancellationSignal.addEventListener('abort', stop);
  const command = args.slice(0, 2).join(' ');
  heartbeat({ waitingFor: `helm ${command}` });
  const stdout = collectOutput(child.stdout, () => {
    child.kill('SIGKILL');
    // Ends what the program has started, too.
    child.stdout.destroy();
  });
  const stderr = collectOutput(child.stderr);
  child.stdin.on('error', () => {
    // Helm closes its input when it exits early; its exit code gives the reason.
  });
  child.stdin.end(input);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', (error) => reject(failure('HelmFailed', `helm cannot be started: ${error.message}`)));
      child.once('close', resolve);
    });
    if (context.cancellationSignal.aborted) throw new CancelledFailure(`helm ${command} was cancelled`);
    if (stdout.isTooLong()) {
      const problem = `helm ${command} printed more than ${maxOutputBytes} bytes, which no chart of Cilium does`;
      throw failure('HelmFailed', `${problem}; check the chart and its values`);
    }
    if (code !== 0) {
      const errorOutput = stderr.text().trim().split('\n').slice(-5).join('\n').slice(-1_000);
      const problem = `helm ${command} ended with code ${code ?? 'none'}: ${errorOutput}`;
      throw failure(helmFailureType(errorOutput), `${problem}\nremove the cause that Helm names`, { retryable: true });
    }
    return stdout.text();
  } finally {
    context.cancellationSignal.removeEventListener('abort', stop);
  }
}
