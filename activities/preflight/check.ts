import type { Verdict } from '../../model/preflight.ts';
import type { ClusterReader } from './cluster-reader.ts';

/** What a check found. */
export interface Finding {
  verdict: Verdict;
  /** What was seen, for a human to judge by. */
  evidence: string[];
  /** What to do about it. @default the check's own */
  fix?: string;
}

/** One check before a migration. It reads; it changes nothing. */
export interface PreflightCheck {
  /** What it makes sure of, in one sentence: the reference is made from this. */
  ensures: string;
  /** When it blocks and when it warns. */
  verdicts: string;
  /** What to do when it does not pass. */
  fix: string;
  /** Where the rule comes from: a source, or a failure that was seen. */
  why: string;
  run: (cluster: ClusterReader) => Promise<Finding>;
}

/** All is well. */
export function pass(...evidence: string[]): Finding {
  return { verdict: 'pass', evidence };
}

/** A human should look at this. */
export function warn(...evidence: string[]): Finding {
  return { verdict: 'warn', evidence };
}

/** The migration must not begin. */
export function block(...evidence: string[]): Finding {
  return { verdict: 'block', evidence };
}

/**
 * The finding of a list of problems: the verdict when there is one, and a pass with other words when there is none.
 */
export function unlessEmpty(verdict: 'warn' | 'block', problems: readonly string[], otherwise: string): Finding {
  return problems.length === 0 ? pass(otherwise) : { verdict, evidence: [...problems] };
}

/** The worst of several findings, with the evidence of all that are not a pass. */
export function worst(...findings: Finding[]): Finding {
  const rank = { pass: 0, warn: 1, block: 2 };
  const verdict = findings.map((one) => one.verdict).reduce((a, b) => (rank[b] > rank[a] ? b : a), 'pass');
  const told = verdict === 'pass' ? findings : findings.filter((one) => one.verdict !== 'pass');
  const fix = findings.find((one) => one.verdict === verdict && one.fix !== undefined)?.fix;
  return { verdict, evidence: told.flatMap((one) => one.evidence), ...(fix !== undefined && { fix }) };
}
