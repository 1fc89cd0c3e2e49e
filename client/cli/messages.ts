import { InvalidArgumentError, Option } from 'commander';
import type { MessageName } from '../../model/message-schemas.ts';

/** Returns the name of the command that sends a message. */
export function commandName(message: string): string {
  return message.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function positive(text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw new InvalidArgumentError('a number from 1 is needed');
  return Number(text);
}

const subjectOptions = [
  new Option('--plan', 'the plan'),
  new Option('--node <name>', 'a node'),
  new Option('--wave <number>', 'a wave').argParser(positive),
  new Option('--cleanup', 'the removal of Canal: the point of no return'),
];
const nodeOption = [new Option('--node <name>', 'which node').makeOptionMandatory()];

/** Every message: its description, and its options, which are the fields of the message. */
export const messages: readonly { message: MessageName; does: string; options: readonly Option[] }[] = [
  {
    message: 'approve',
    does: 'let the plan, a node, a wave or the cleanup go on',
    options: subjectOptions,
  },
  {
    message: 'reject',
    does: 'refuse the plan, a node, a wave or the cleanup',
    options: subjectOptions,
  },
  { message: 'pause', does: 'begin nothing new', options: [] },
  { message: 'resume', does: 'go on after a pause', options: [] },
  { message: 'skip', does: 'set a node aside', options: nodeOption },
  {
    message: 'retry',
    does: 'take up a node that failed, was skipped or rolled back',
    options: nodeOption,
  },
  {
    message: 'rollback',
    does: 'take a node, or every node, back to Canal',
    options: [new Option('--node <name>', 'a node'), new Option('--all', 'every node, and Cilium out of the cluster')],
  },
  { message: 'abort', does: 'end the migration; migrated nodes stay so', options: [] },
  {
    message: 'setMaxConcurrency',
    does: 'change how many nodes a wave has',
    options: [new Option('--max-concurrency <number>', 'nodes').argParser(positive).makeOptionMandatory()],
  },
  {
    message: 'forcePod',
    does: 'have a pod deleted that eviction cannot move',
    options: [new Option('--pod <namespace/name>', 'which pod').makeOptionMandatory()],
  },
];
