import type { Gates } from '../../../model/gates.ts';

/** Input of `checkGates`. */
export interface GateTarget {
  cluster: string;
  gates: Gates;
  /** Start of the period that is evaluated (Unix, ms). */
  sinceMs: number;
  /**
   * Nodes whose paths are evaluated.
   * @default all
   */
  nodes?: string[];
}

/** Result of a gate. */
export interface GateEvaluation {
  /** Reasons why the gate does not hold, one line each, the most important first; none when it holds. */
  objections: string[];
  /**
   * Returns the likely cause of what the gate has read; undefined when there is none. Called only when some gate has
   * objections.
   * @default the gate knows no causes
   */
  explain?: () => Promise<string | undefined>;
}

/** A condition that must hold before the migration continues. */
export interface Gate {
  /** Name in messages, such as "HTTP example.org/health". */
  readonly name: string;
  /**
   * Evaluates the gate once.
   * @throws Error when it cannot be evaluated.
   */
  evaluate: () => Promise<GateEvaluation>;
}
