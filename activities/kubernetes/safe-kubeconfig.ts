import type { KubeConfig } from '@kubernetes/client-node';
import type { KubeconfigAllowance } from '../../model/allowances.ts';
import { failure } from '../support/failures.ts';

/** Providers of tokens that run no program. */
const safeProviders: readonly string[] = ['oidc', 'tokenFile'];

/**
 * Requires a kubeconfig that neither turns off the verification of the API server's certificate nor runs a program,
 * unless that is allowed. Owners of clusters may write these files, and a program in one runs next to the credentials of
 * all other clusters.
 * @throws CredentialsRefused, retryable: the file can be replaced, as it is read again.
 */
export function requireSafeKubeconfig(
  config: KubeConfig,
  cluster: string,
  allow: readonly KubeconfigAllowance[]
): void {
  const refused = findUnsafe(config).find(({ allowance }) => !allow.includes(allowance));
  if (refused === undefined) return;
  const { problem, allowance } = refused;
  throw failure(
    'CredentialsRefused',
    `the kubeconfig of the cluster "${cluster}" ${problem}, which the worker refuses; replace it, or allow it with ` +
      `"allow: [${allowance}]" for the cluster in the worker's file, or for all with CNI_MIGRATION_ALLOW=${allowance}`,
    { retryable: true }
  );
}

function findUnsafe(config: KubeConfig): { problem: string; allowance: KubeconfigAllowance }[] {
  const isUnverified = config.getCurrentCluster()?.skipTLSVerify === true;
  return [
    ...(isUnverified
      ? [{ problem: 'has insecure-skip-tls-verify', allowance: 'insecure-skip-tls-verify' as const }]
      : []),
    ...(runsProgram(config)
      ? [{ problem: 'runs a program (exec or auth-provider)', allowance: 'exec-credentials' as const }]
      : []),
  ];
}

function runsProgram(config: KubeConfig): boolean {
  const user = config.getCurrentUser();
  const provider = user?.authProvider as { name?: string; config?: { exec?: unknown } } | null | undefined;
  const isSafeProvider = safeProviders.includes(provider?.name ?? '') && provider?.config?.exec == null;
  return user?.exec != null || (provider != null && !isSafeProvider);
}
