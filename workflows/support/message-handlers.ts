import {
  ApplicationFailure,
  defineSignal,
  defineUpdate,
  setDefaultSignalHandler,
  setHandler,
} from '@temporalio/workflow';
import { closestNames } from '../../model/closest-names.ts';
import { untrustedProblems } from '../../model/input-limits.ts';
import { isMalformed } from '../../model/malformed-payload.ts';
import { withoutControls } from '../../model/printable.ts';

/** Reason for the refusal of a message. */
interface Refusal {
  problem: string;
}

/** Messages of a workflow, and how they change its state. */
export interface MessageRules<Name extends string, Message, Context> {
  names: readonly Name[];
  /** Returns the state that messages change. It is JSON. */
  context: () => Context;
  parse: (name: Name, raw: unknown) => { message: Message } | Refusal;
  /**
   * Applies a message to a state, at a time (ISO 8601). A refused message changes nothing.
   * @returns the effect of the message, or the reason for its refusal.
   */
  apply: (name: Name, message: Message, context: Context, at: string) => { done: string } | Refusal;
  /** Called with each accepted message, after its decision is recorded. */
  onAccepted: (name: Name, message: Message) => void;
  /** Records a refused signal, which nobody waits for. */
  note: (text: string) => void;
}

/** Maximum length of a refused message in a note, in characters. */
const maxQuotedLength = 300;

/** Maximum length of an unknown name in a note, in characters. */
const maxNameLength = 100;

/**
 * Sets the handlers of all messages. Each message is a signal and an update of the same name, with the same rules. A
 * refused update leaves nothing in the history, because its validator refuses it. A signal with an unknown name becomes
 * a note. Call it after all other signal handlers are set: it receives the earlier signals that have no handler by then.
 */
export function setMessageHandlers<Name extends string, Message, Context>(
  rules: MessageRules<Name, Message, Context>
): void {
  for (const name of rules.names) {
    setSignalHandler(name, rules);
    setUpdateHandler(name, rules);
  }
  setDefaultSignalHandler((name) => {
    const quoted = withoutControls(name).slice(0, maxNameLength);
    rules.note(`the signal "${quoted}" was ignored: there are ${closestNames(quoted, rules.names).join(', ')}`);
  });
}

function setSignalHandler<Name extends string, Message, Context>(
  name: Name,
  rules: MessageRules<Name, Message, Context>
): void {
  setHandler(defineSignal<unknown[]>(name), (...args) => {
    const outcome = receive(name, args, rules);
    if ('problem' in outcome) rules.note(`${name} was ignored: ${outcome.problem}; the message was ${quote(args)}`);
  });
}

function setUpdateHandler<Name extends string, Message, Context>(
  name: Name,
  rules: MessageRules<Name, Message, Context>
): void {
  setHandler(
    defineUpdate<string, unknown[]>(name),
    (...args) => {
      const outcome = receive(name, args, rules);
      if ('problem' in outcome) throw refusal(outcome.problem);
      return outcome.done;
    },
    {
      validator: (...args) => {
        // On a copy: a replay does not run validators, so their changes would be lost.
        const copy = JSON.parse(JSON.stringify(rules.context())) as Context;
        const outcome = parseAndApply(name, args, rules, copy);
        if ('problem' in outcome) throw refusal(outcome.problem);
      },
    }
  );
}

function receive<Name extends string, Message, Context>(
  name: Name,
  args: readonly unknown[],
  rules: MessageRules<Name, Message, Context>
): { done: string } | Refusal {
  const outcome = parseAndApply(name, args, rules, rules.context());
  if (!('problem' in outcome)) rules.onAccepted(name, outcome.message);
  return outcome;
}

function parseAndApply<Name extends string, Message, Context>(
  name: Name,
  args: readonly unknown[],
  { parse, apply }: MessageRules<Name, Message, Context>,
  context: Context
): { done: string; message: Message } | Refusal {
  if (args.length > 1) return { problem: `a message has one input, and this one has ${args.length}` };
  const parsed = parse(name, args[0]);
  if ('problem' in parsed) return parsed;
  const outcome = apply(name, parsed.message, context, new Date().toISOString());
  return 'problem' in outcome ? outcome : { ...outcome, message: parsed.message };
}

/** Quotes a refused message. The history already contains a secret in it, but the status must not repeat it. */
function quote(args: readonly unknown[]): string {
  if (args.some(isMalformed) || untrustedProblems(args).length > 0) return 'not shown';
  return (
    args
      .map((raw) => JSON.stringify(raw ?? null))
      .join(' ')
      .slice(0, maxQuotedLength) || 'empty'
  );
}

function refusal(problem: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(problem, 'InvalidInput');
}
