/**
 * Timeouts and retries of every activity. Activities mark failures that a retry cannot fix as non-retryable; most of the
 * others come from an API server that does not answer. Where an activity has no `maximumAttempts`, `support/steps.ts`
 * limits its attempts, and asks an operator then.
 */
import { ActivityCancellationType, type ActivityOptions } from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import { defaultBound, type AttemptBound } from '../model/attempts.ts';

const retry = { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '15 seconds' } as const;

/** Timeout of one attempt of an activity that is quick. */
export const quickAttempt = '1 minute';

/** Every activity heartbeats automatically, so that a dead worker is detected within seconds. */
const heartbeatTimeout = '10 seconds';

/**
 * Cancellation type of activities with side effects: the workflow waits until a cancelled one has ended, so that a
 * rollback never runs in parallel with it. The activity receives its cancellation with a heartbeat, which the SDK sends
 * after 80 % of the heartbeat timeout at the latest.
 */
const cancellationType = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED;

/** Retries of an activity in a run that fails soon when the API server does not answer: about 15 s of waiting. */
export const failSoon = { retry: { ...retry, maximumAttempts: 5 } } satisfies ActivityOptions;

/**
 * Start of a workflow, before anything is changed. Fails after about 15 s of waiting, so that a mistyped address or an
 * API server that does not answer is reported to the operator.
 */
const start: ActivityOptions = {
  startToCloseTimeout: quickAttempt,
  heartbeatTimeout,
  ...failSoon,
};

/** Reads and small writes during a migration. */
const short: ActivityOptions = { startToCloseTimeout: quickAttempt, heartbeatTimeout, cancellationType, retry };

/** Helm, whose failures may be temporary or permanent. */
const helm: ActivityOptions = { startToCloseTimeout: '15 minutes', heartbeatTimeout, cancellationType, retry };

/** Number of attempts of a step that runs Helm: most of its failures are permanent. */
const helmAttempts = 8;

/** Optional steps, worth one retry: the migration continues without them. */
const optional: ActivityOptions = {
  startToCloseTimeout: '3 minutes',
  heartbeatTimeout,
  retry: { ...retry, maximumAttempts: 2 },
};

/**
 * Work with deadlines of its own, whose failures name what was missing: waits for agents and pods, scripts on nodes, and
 * one round of a drain.
 */
const long: ActivityOptions = { startToCloseTimeout: '20 minutes', heartbeatTimeout, cancellationType, retry };

/** Measurements for a time that the input sets. */
const measurement: ActivityOptions = { startToCloseTimeout: '31 days', heartbeatTimeout, retry };

/**
 * Waits for actions of people, such as a reboot or a new node. Each attempt is one short check, and Temporal repeats it
 * for as long as needed, so that days add no history and occupy no slot of a worker.
 */
const repeatedCheck: ActivityOptions = {
  startToCloseTimeout: quickAttempt,
  heartbeatTimeout,
  retry: { ...retry, maximumAttempts: Number.POSITIVE_INFINITY },
};

/** Retries of an activity of {@link start} in a run that continues another one: it is repeated as any other step. */
export const untilAvailable = { retry } satisfies ActivityOptions;

/** Options of every activity. */
export const activityOptions: Record<keyof Activities, ActivityOptions> = {
  // Called as a local activity, with options of its own.
  resolveRequest: start,
  inspectCluster: start,
  findApprovals: short,
  recordPointOfNoReturn: short,
  recordRollback: short,
  removeRollbackRecord: short,
  recordUnfinished: short,
  // A cancelled call is waited for, so that the lock that it may have acquired is released.
  acquireLock: short,
  releaseLock: short,
  // The comparison takes minutes on large clusters.
  comparePolicies: { ...long, ...failSoon },

  runPreflight: long,
  removeInspectors: long,
  planDetails: long,
  // A dry run lists the failure, and asks nobody.
  dryRunRelease: { ...helm, retry: { ...retry, maximumAttempts: helmAttempts } },
  dryRunNode: long,
  dryRunCleanup: short,

  deployProbers: long,
  snapshotLedger: measurement,
  readLedger: short,
  checkGates: long,

  applyCniChain: short,
  applyHelmRelease: helm,
  checkCiliumConfig: short,
  waitForAgents: long,
  restartOutdatedAgent: long,
  applyNodeConfig: short,
  removeNodeConfig: short,
  deployNatExemption: long,
  deployIdentityBridge: long,
  restoreHelpers: long,
  requireIdentityBridge: long,
  removeIdentityBridge: long,
  applyTranslatedPolicies: long,

  untilFit: short,
  // 150,000 pods are 300 pages, which a busy API server does not return within a minute.
  observeNodes: long,
  nodeNames: short,
  waitForNodeChange: repeatedCheck,

  observeNode: short,
  cordonNode: short,
  uncordonNode: short,
  drainNode: long,
  flipNode: long,
  revertNodeFlip: long,
  restoreSourceCni: long,
  waitForReboot: repeatedCheck,
  verifyNode: long,
  collectDiagnostics: optional,

  keepCanalOffNewNodes: long,
  letCanalOnAllNodes: long,
  restartOutdatedOperator: long,
  verifyBeforeRemoval: long,
  verifyBeforeUninstall: long,

  requireAllPodsOnTarget: long,
  exportCalico: long,
  exportCilium: long,
  removeCanal: long,
  removeCanalTraces: long,
  uninstallCilium: helm,
  removeCiliumTraces: long,
  cleanHost: long,
  removeHelpers: long,
};

/** Bounds of the attempts of activities that do not have the default one. */
export const attemptBounds: Partial<Record<keyof Activities, AttemptBound>> = {
  applyHelmRelease: { ...defaultBound, attempts: helmAttempts },
  uninstallCilium: { ...defaultBound, attempts: helmAttempts },
};
