import { InvalidArgumentError, Option } from 'commander';
import type { MessageName } from '../../model/message-schemas.ts';

/** Returns the name of the command that sends a message. */
export function commandName(message: string): string {
  return message.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function positive(text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw new InvalidArgumentError('must be a positive integer');
  return Number(text);
}

const subjectOptions = [
  new Option('--plan', 'the plan'),
  new Option('--node <name>', 'a node, by name'),
  new Option('--wave <number>', 'a wave, by number').argParser(positive),
  new Option('--cleanup', 'the removal of Canal: the point of no return'),
];
const nodeOption = [new Option('--node <name>', 'name of the node').makeOptionMandatory()];

/** Every message: its description, and its options, which are the fields of the message. */
export const messages: readonly { message: MessageName; description: string; options: readonly Option[] }[] = [
  {
    message: 'approve',
    description: 'approve the plan, a node, a wave or the cleanup',
    options: subjectOptions,
  },
  {
    message: 'reject',
    description: 'reject the plan, a node, a wave or the cleanup',
    options: subjectOptions,
  },
  { message: 'pause', description: 'pause: finish nodes in progress, and start nothing new', options: [] },
  { message: 'resume', description: 'resume after a pause', options: [] },
  { message: 'skip', description: 'skip a node for now', options: nodeOption },
  {
    message: 'retry',
    description: 'retry a node that failed, was skipped or rolled back',
    options: nodeOption,
  },
  {
    message: 'rollback',
    description: 'roll a node, or all nodes, back to Canal',
    options: [new Option('--node <name>', 'a node, by name'), new Option('--all', 'all nodes; also removes Cilium')],
  },
  { message: 'abort', description: 'end the migration; migrated nodes stay migrated', options: [] },
  {
    message: 'setMaxConcurrency',
    description: 'change the maximum number of nodes per wave',
    options: [
      new Option('--max-concurrency <number>', 'maximum number of nodes per wave')
        .argParser(positive)
        .makeOptionMandatory(),
    ],
  },
  {
    message: 'forcePod',
    description: 'delete a pod that an eviction cannot move',
    options: [new Option('--pod <namespace/name>', 'the pod').makeOptionMandatory()],
  },
];
