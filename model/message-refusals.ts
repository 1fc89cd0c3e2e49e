/** Messages that are refused because of the phase, or because of an earlier message. Pure. */
import type { MessageContext } from './message-context.ts';
import type { MessageName, Messages } from './message-schemas.ts';

/** Returns the reason why a message has no effect now, also when what it names exists; undefined when it may have one. */
export function findRefusal<Name extends MessageName>(
  name: Name,
  message: Messages[Name],
  context: MessageContext
): string | undefined {
  return (
    endRefusal(name, context) ?? phaseRefusal(name, message, context) ?? interruptionRefusal(name, message, context)
  );
}

/** Returns the reason why a run that is ending does not act on the message; undefined when it does. */
function endRefusal(name: MessageName, { decisions }: MessageContext): string | undefined {
  // A node that is restored may still have pods that block its drain.
  return name === 'forcePod' ? undefined : decisions.refusal;
}

/** Messages that have an effect after the point of no return. */
const acceptedAfterNoReturn: readonly MessageName[] = ['forcePod', 'resume', 'skip'];

/** Returns the reason why the current phase does not allow the message; undefined when it does. */
function phaseRefusal(name: MessageName, message: Messages[MessageName], context: MessageContext): string | undefined {
  const { phase, pointOfNoReturn, dryRun } = context.status;
  if (phase === 'done' || phase === 'rolled-back') return 'the migration has ended';
  if (dryRun === true && name !== 'abort')
    return 'a dry run changes nothing and waits for nobody; it only accepts abort';
  if (phase === 'rolling-back') return rollbackRefusal(name, message, context);
  // The removal of Canal is not interrupted: it continues to its end, also in the next run.
  if (pointOfNoReturn !== undefined && !acceptedAfterNoReturn.includes(name))
    return `the removal of Canal began at ${pointOfNoReturn}, the point of no return: ${name} is no longer possible`;
  if (name === 'setMaxConcurrency' && phase === 'cleanup') return 'no wave is left in the phase cleanup';
  return undefined;
}

/** Messages that a rollback of all nodes acts on at any time. */
const acceptedInRollback: readonly MessageName[] = ['forcePod', 'resume', 'skip'];

const abortRequested = 'an abort is already requested; start the migration again after it';

/** Returns the reason why a rollback of all nodes does not act on the message; undefined when it does. */
function rollbackRefusal(
  name: MessageName,
  message: Messages[MessageName],
  { decisions, status, hasWindows = false }: MessageContext
): string | undefined {
  const isAborted = decisions.aborted !== undefined && decisions.rollbackAll === undefined;
  if (isAborted) return acceptedAfterInterruption.includes(name) ? undefined : abortRequested;
  if (acceptedInRollback.includes(name) || startsAtOnce(name, message)) return undefined;
  if (status.waiting?.kind === 'window') return name === 'abort' ? undefined : rollbackWaits;
  const hint = name === 'abort' && hasWindows ? '; it can be aborted while it waits for a maintenance window' : '';
  return `a rollback is in progress${hint}`;
}

const rollbackWaits =
  'a rollback is in progress, and waits for a maintenance window; send rollback {"all": true, "outsideWindows": true} to ' +
  'continue it at once, or abort to end it';

/** True for the message that a rollback of all nodes does not wait for maintenance windows. */
function startsAtOnce(name: MessageName, message: Messages[MessageName]): boolean {
  return name === 'rollback' && 'all' in message && 'outsideWindows' in message && message.outsideWindows === true;
}

/** Messages that have an effect after an abort or a rollback of all nodes was requested. */
const acceptedAfterInterruption: readonly MessageName[] = ['abort', 'forcePod'];

/**
 * Returns the reason for the refusal of a message whose effect an abort, or a rollback of all nodes, prevents; undefined
 * without one.
 */
function interruptionRefusal(
  name: MessageName,
  message: Messages[MessageName],
  { decisions, status }: MessageContext
): string | undefined {
  const isRollbackOfAll = name === 'rollback' && 'all' in message;
  if (acceptedAfterInterruption.includes(name) || isRollbackOfAll || status.phase === 'rolling-back') return undefined;
  if (decisions.rollbackAll !== undefined) return 'a rollback of all nodes is already requested';
  if (decisions.rejected !== undefined) return `the ${status.phase} is already rejected; the migration ends`;
  return decisions.aborted === undefined ? undefined : abortRequested;
}
