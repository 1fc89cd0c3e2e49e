import type { Verdict } from '../../model/preflight.ts';
import type { ClusterReader } from './cluster-reader.ts';

/** Result of a check. */
export interface Finding {
  verdict: Verdict;
  /** Facts that the check found, for an operator to evaluate. */
  evidence: string[];
  /**
   * Remedy for this finding.
   * @default the check's own
   */
  fix?: string;
}

/** A check before a migration. It only reads and changes nothing. */
export interface PreflightCheck {
  /** Condition that the check ensures, in one sentence; the generated reference contains it. */
  ensures: string;
  /** Conditions under which it blocks and under which it warns. */
  verdicts: string;
  /** Remedy when it does not pass. */
  fix: string;
  /** Origin of the rule: a source, or a failure that was observed. */
  rationale: string;
  run: (cluster: ClusterReader) => Promise<Finding>;
}

/** Creates a finding that passes. */
export function pass(...evidence: string[]): Finding {
  return { verdict: 'pass', evidence };
}

/** Creates a finding that an operator should review. */
export function warn(...evidence: string[]): Finding {
  return { verdict: 'warn', evidence };
}

/** Creates a finding that blocks the migration. */
export function block(...evidence: string[]): Finding {
  return { verdict: 'block', evidence };
}

/**
 * Creates a finding from a list of problems: the given verdict when there are any, otherwise a pass with the text
 * `otherwise`.
 */
export function unlessEmpty(verdict: 'warn' | 'block', problems: readonly string[], otherwise: string): Finding {
  return problems.length === 0 ? pass(otherwise) : { verdict, evidence: [...problems] };
}

/** Returns a remark for evidence that also depends on the nodes: empty, unless they were not inspected. */
export function inspectionRemark(hosts: ReadonlyMap<string, unknown> | undefined): string {
  return hosts === undefined ? ' (nodes not inspected: nodeInspection is off)' : '';
}

/** Returns the worst of several findings, with the evidence of all that do not pass. */
export function worst(...findings: Finding[]): Finding {
  const rank = { pass: 0, warn: 1, block: 2 };
  const verdict = findings.map((finding) => finding.verdict).reduce((a, b) => (rank[b] > rank[a] ? b : a), 'pass');
  const reported = verdict === 'pass' ? findings : findings.filter((finding) => finding.verdict !== 'pass');
  const fix = findings.find((finding) => finding.verdict === verdict && finding.fix !== undefined)?.fix;
  return { verdict, evidence: reported.flatMap((finding) => finding.evidence), ...(fix !== undefined && { fix }) };
}
