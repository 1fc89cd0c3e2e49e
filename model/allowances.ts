/**
 * Unsafe settings that are refused unless they are allowed by name, in the variable `CNI_MIGRATION_ALLOW` or, for a
 * kubeconfig, in `allow` of its cluster in the worker's file.
 */
export const allowances = [
  /** A connection without TLS to a Temporal server on another machine. */
  'plaintext-temporal',
  /** A connection without an API key or a client certificate to a Temporal server on another machine. */
  'unauthenticated-temporal',
  /** A codec server that decrypts for everyone who reaches it. */
  'codec-without-token',
  /** A kubeconfig with `insecure-skip-tls-verify`: anyone between the worker and the API server gets its credentials. */
  'insecure-skip-tls-verify',
  /** A kubeconfig that names a program, which runs as the worker. */
  'exec-credentials',
] as const;

/** One of {@link allowances}. */
export type Allowance = (typeof allowances)[number];

/** Allowances about a kubeconfig. */
export const kubeconfigAllowances = ['insecure-skip-tls-verify', 'exec-credentials'] as const satisfies Allowance[];

/** One of {@link kubeconfigAllowances}. */
export type KubeconfigAllowance = (typeof kubeconfigAllowances)[number];

/** Name of the variable. */
export const allowVariable = 'CNI_MIGRATION_ALLOW';

/**
 * Parses the variable's value: names, separated by commas.
 * @throws Error for an unknown name, so that a typing error is noticed.
 */
export function parseAllowances(text: string | undefined): readonly Allowance[] {
  const names = (text ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean);
  return names.map((name) => {
    const allowance = allowances.find((known) => known === name);
    if (allowance !== undefined) return allowance;
    throw new Error(`${allowVariable}: there is no "${name}"; the names are ${allowances.join(', ')}`);
  });
}
