import { spawn } from 'node:child_process';
import { isDeepStrictEqual } from 'node:util';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { Context } from '@temporalio/activity';
import type { HelmValues } from '../../workflows/model/helm-values.ts';
import { failure } from '../failures.ts';
import type { Clusters } from '../kubernetes/connection.ts';
import { withFailures } from '../kubernetes/errors.ts';

/** Release name and namespace of Cilium, as its documentation has them. */
export const ciliumRelease = 'cilium';
export const ciliumNamespace = 'kube-system';

/** Helm's own limit for one command, in seconds; shorter than the activity's, so that Helm ends in order. */
const helmTimeoutSeconds = 600;

/** Input of `applyHelmRelease`. */
export interface ReleaseTarget {
  cluster: string;
  /** An `oci://` reference, or a path on the worker's machine. */
  chart: string;
  /** Version; not used for a path. */
  version: string;
  /** All values that differ from the chart's own. */
  values: HelmValues;
}

/** What Helm tells of a release; `version` is the chart's. */
interface ReleaseMetadata {
  status: string;
  version: string;
}

/** The activity on Helm's releases. `helm` is the path of Helm's binary, version 3.14 or newer, or 4. */
export function createHelmActivities(clusters: Clusters, helm: string) {
  return {
    /**
     * Makes the release be as given: installs or upgrades it, or does nothing when it is so already. Neither atomic nor
     * waiting: a half-working CNI that is uninstalled again is worse than one to look at, and waiting is for the agents'
     * own activity.
     * @throws HelmFailed with the end of what Helm said.
     */
    applyHelmRelease: withFailures(
      'apply the Helm release',
      async ({ cluster, chart, version, values }: ReleaseTarget): Promise<void> => {
        const scope = [
          '--namespace',
          ciliumNamespace,
          '--kubeconfig',
          clusters.kubeconfigFile,
          '--kube-context',
          cluster,
        ];
        const release = await readRelease(helm, scope);
        const fromPath = chart.startsWith('/');
        if (release?.status === 'deployed' && (fromPath || release.version === version)) {
          const current: unknown = JSON.parse(
            await runHelm(helm, ['get', 'values', ciliumRelease, '-o', 'json', ...scope])
          );
          if (isDeepStrictEqual(current, values)) return;
        }
        const source = fromPath ? [chart] : [chart, '--version', version];
        const { workflowId } = Context.current().info.workflowExecution ?? { workflowId: 'unknown' };
        await runHelm(
          helm,
          [
            ...['upgrade', '--install', ciliumRelease, ...source, ...scope, '--values', '-', '--reset-values'],
            ...['--timeout', `${helmTimeoutSeconds}s`, '--history-max', '10', '--description', workflowId],
          ],
          JSON.stringify(values)
        );
      }
    ),
  };
}

async function readRelease(helm: string, scope: readonly string[]): Promise<ReleaseMetadata | undefined> {
  try {
    return JSON.parse(
      await runHelm(helm, ['get', 'metadata', ciliumRelease, '-o', 'json', ...scope])
    ) as ReleaseMetadata;
  } catch (error) {
    if (error instanceof ApplicationFailure && error.message.includes('release: not found')) return undefined;
    throw error;
  }
}

/** Runs Helm without a shell; cancellation tells it to end in order, so that the release is not left pending. */
async function runHelm(helm: string, args: readonly string[], input = ''): Promise<string> {
  const context = Context.current();
  const child = spawn(helm, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const stop = (): void => void child.kill('SIGTERM');
  context.cancellationSignal.addEventListener('abort', stop);
  const doing = args.slice(0, 2).join(' ');
  const beat = setInterval(() => context.heartbeat({ waitingFor: `helm ${doing}` }), 2_000);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.on('error', () => {
    // Helm that ends early closes its input; its exit code tells why.
  });
  child.stdin.end(input);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', (error) => reject(failure('HelmFailed', `helm cannot be started: ${error.message}`)));
      child.once('close', resolve);
    });
    if (context.cancellationSignal.aborted) throw new CancelledFailure(`helm ${doing} was cancelled`);
    if (code !== 0) {
      const said = stderr.trim().split('\n').slice(-5).join('\n').slice(-1_000);
      throw failure('HelmFailed', `helm ${doing} ended with code ${code ?? 'none'}: ${said}`, { retryable: true });
    }
    return stdout;
  } finally {
    clearInterval(beat);
    context.cancellationSignal.removeEventListener('abort', stop);
  }
}
