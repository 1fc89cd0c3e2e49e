import type { Answer } from './decision.ts';

/** Reasons to wait. Programs read the kind, and people the text of {@link waitText}. */
export const waitKinds = ['approval', 'decision', 'resume', 'window', 'soak', 'step'] as const;

/** One of {@link waitKinds}. */
export type WaitKind = (typeof waitKinds)[number];

/** A wait as data. */
export interface Wait {
  kind: WaitKind;
  /**
   * Identity of the wait within its kind, such as `wave 3`: while it is the same, the start of the wait and its deadline
   * stay, also when the subject changes.
   */
  key: string;
  /** What is awaited, such as the names of nodes. */
  subject: string;
  /** Messages that end the wait. */
  answers: Answer[];
  /**
   * Time at which the wait ends (Unix ms).
   * @default never
   */
  deadlineMs?: number | undefined;
}

const texts: Readonly<Record<WaitKind, (subject: string) => string>> = {
  approval: (subject) => `approval of ${subject}`,
  decision: (subject) => `a decision about ${subject}`,
  resume: (subject) => `resume (paused by ${subject})`,
  window: (subject) => `the maintenance window that opens at ${subject}`,
  soak: (subject) => `the end of the soak of ${subject}`,
  step: (subject) => subject,
};

/** Returns the text that follows "Waiting for". */
export function waitText({ kind, subject }: Pick<Wait, 'kind' | 'subject'>): string {
  return texts[kind](subject);
}

/** What a migration can need from outside, as the search attribute `CniNeeds` names it. */
export const needs = ['approval', 'decision', 'resume', 'reboot', 'repair', 'time'] as const;

/** One of {@link needs}. */
export type Need = (typeof needs)[number];

const needByKind: Readonly<Record<WaitKind, Need>> = {
  approval: 'approval',
  decision: 'decision',
  resume: 'resume',
  window: 'time',
  soak: 'time',
  step: 'repair',
};

/** Returns what ends a wait of this kind. */
export function needOf(kind: WaitKind): Need {
  return needByKind[kind];
}
