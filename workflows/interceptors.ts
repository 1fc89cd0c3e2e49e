/**
 * Interceptors of all workflows, in their bundle. They keep input that cannot be read from a workflow's own code, and
 * they record what could not be read, so that a replay by a worker with other keys comes to the same result
 * (docs/decisions/0018-unreadable-payloads.md).
 */
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import {
  ApplicationFailure,
  log,
  patched,
  workflowInfo,
  type ActivateInput,
  type WorkflowInterceptors,
} from '@temporalio/workflow';
import { isPodName, isUsableSignal } from '../model/internal-signals.ts';
import { isMalformed, malformedPayload, type MalformedPayload } from '../model/malformed-payload.ts';
import { isNodeType } from '../model/workflow-types.ts';
import { isEncryptionRequired } from './payload-converter.ts';

/** Prefix of names that the SDK reserves. */
const reservedPrefix = '__temporal_';

/** Used instead of a payload that was not readable when it arrived, but is now. */
const unreadableAtFirst = malformedPayload(
  'was encrypted with a key that the worker lacked when it arrived; send it again'
);

/** Used instead of a message without payload, where messages must be encrypted. */
const unencryptedMessage = malformedPayload(
  'has no payload, so it is not encrypted, and the worker requires that; send {} or the fields of the message encrypted',
  { dependsOnKeys: true }
);

/** @see WorkflowInterceptorsFactory of the SDK */
export function interceptors(): WorkflowInterceptors {
  let signals = 0;
  return {
    inbound: [
      {
        // No await before next(): a workflow registers its handlers before the first message arrives.
        execute: async (input, next) => {
          requireReadableStart(input.args);
          return next(input);
        },
        handleSignal: async (input, next) => {
          signals++;
          const args = argumentsAtFirst(`unreadable-signal-${signals}`, requirePayload(input.args));
          if (!isAcceptedSignal(input.signalName, args)) {
            log.warn('ignored a signal between workflows that is not valid', { signal: input.signalName });
            return;
          }
          await next({ ...input, args });
        },
        validateUpdate: (input, next) => {
          const unreadable = findUndecrypted(requirePayload(input.args));
          if (unreadable !== undefined) throw invalidInput(`the message: ${unreadable.problem}`);
          next(input);
        },
        handleUpdate: async (input, next) => {
          // Its validator refuses an unreadable update, so that it is not in the history: this is a replay.
          const unreadable = findUndecrypted(input.args);
          if (unreadable !== undefined) throw lostKey('an update', unreadable);
          return next(input);
        },
      },
    ],
    internals: [
      {
        activate: (input, next) => {
          renameReservedSignals(input.activation);
          removeUnreadableHeaders(input.activation);
          next(input);
        },
      },
    ],
  };
}

/**
 * Requires input that can be read.
 * @throws ApplicationFailure InvalidInput for input of an operator.
 * @throws Error for input that a worker has written: the task fails until a worker can read it.
 */
function requireReadableStart(args: readonly unknown[]): void {
  const { parent, continuedFromExecutionRunId, workflowType } = workflowInfo();
  const isFromOperator = parent === undefined && continuedFromExecutionRunId === undefined;
  const [input, ...more] = isFromOperator ? argumentsAtFirst('unreadable-input', args) : args;
  const malformed = [input, ...more].find(isMalformed);
  // A migration starts them as its children, and they never continue as new. The worker checks what the parent is.
  if (isNodeType(workflowType) && (parent === undefined || continuedFromExecutionRunId !== undefined)) {
    throw invalidInput(`${workflowType} is started by a cluster's migration only; start clusterMigration instead`);
  }
  if (!isFromOperator) {
    if (malformed !== undefined) throw lostKey('the input', malformed);
    return;
  }
  if (malformed !== undefined) throw invalidInput(`the input: ${malformed.problem}`);
  // Only the state of a previous run may follow the input.
  if (more.length > 1 || (more.length === 1 && !isObject(more[0]))) {
    throw invalidInput(`${workflowType} has one input, but it was started with ${args.length}`);
  }
}

/** Returns arguments for a message that has none, although it must be encrypted: anyone could have sent it. */
function requirePayload(args: readonly unknown[]): readonly unknown[] {
  return args.length === 0 && isEncryptionRequired() ? [unencryptedMessage] : args;
}

/**
 * Returns the arguments as they were read when they first arrived. What could not be decrypted then stays unreadable in
 * every replay, also by a worker that has the key now; a marker in the history records it.
 *
 * @param id name of the marker; the same in every replay.
 * @throws Error when the arguments were read at first, and this worker lacks the key: the task fails until a worker has
 * it.
 */
function argumentsAtFirst(id: string, args: readonly unknown[]): unknown[] {
  const unreadable = findUndecrypted(args);
  if (unreadable === undefined) {
    // Outside of a replay, patched() would write the marker.
    const wasUnreadable = workflowInfo().unsafe.isReplaying && patched(id);
    return wasUnreadable ? [unreadableAtFirst] : [...args];
  }
  if (!patched(id)) throw lostKey('a payload', unreadable);
  return [...args];
}

function findUndecrypted(args: readonly unknown[]): MalformedPayload | undefined {
  return args.filter(isMalformed).find(({ dependsOnKeys }) => dependsOnKeys);
}

/** True for signals of operators, which their handlers check, and for valid signals of other workflows. */
function isAcceptedSignal(name: string, [argument]: readonly unknown[]): boolean {
  // A node's workflow receives the name of a pod, after the cluster's workflow has checked the operator's message.
  if (name === 'forcePod' && isNodeType(workflowInfo().workflowType)) return isPodName(argument);
  return isUsableSignal(name, argument);
}

/** Renames signals with a reserved name, for which the SDK would fail the workflow task instead of ignoring them. */
function renameReservedSignals({ jobs }: ActivateInput['activation']): void {
  for (const { signalWorkflow } of jobs ?? []) {
    if (signalWorkflow?.signalName?.startsWith(reservedPrefix) === true) {
      signalWorkflow.signalName = `reserved name ${signalWorkflow.signalName}`;
    }
  }
}

/**
 * Removes headers that cannot be read. The only ones that are used contain the sender's trace: the interceptors of traces
 * would fail the workflow task for such a header, repeatedly, while the message itself is valid.
 */
function removeUnreadableHeaders({ jobs }: ActivateInput['activation']): void {
  for (const { signalWorkflow, doUpdate, queryWorkflow, initializeWorkflow } of jobs ?? []) {
    for (const job of [signalWorkflow, doUpdate, queryWorkflow, initializeWorkflow]) {
      if (job?.headers != null) job.headers = readableHeaders(job.headers);
    }
  }
}

function readableHeaders(headers: Readonly<Record<string, Payload>>): Record<string, Payload> {
  return Object.fromEntries(Object.entries(headers).filter(([, payload]) => isReadable(payload)));
}

function isReadable(payload: Payload): boolean {
  try {
    defaultPayloadConverter.fromPayload(payload);
    return true;
  } catch {
    return false;
  }
}

function lostKey(subject: string, { problem }: MalformedPayload): Error {
  return new Error(
    `this worker cannot read ${subject} that an earlier worker has read or written: it ${problem}. Start a worker with the keys and the requirements of that worker`
  );
}

function invalidInput(message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, 'InvalidInput');
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
