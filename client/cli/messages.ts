import { InvalidArgumentError, Option } from 'commander';
import type { FleetMessageName } from '../../model/fleet-messages.ts';
import type { MessageName } from '../../model/message-schemas.ts';

/** Returns the name of the command that sends a message. */
export function commandName(message: string): string {
  return message.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function positive(text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw new InvalidArgumentError('must be a positive integer');
  return Number(text);
}

/** Options about the plan. The first one stands for the plan that is pending, the second one for that of a digest. */
const planOption = new Option('--plan', 'the pending plan, by the digest that the status shows now');
const planDigestOption = new Option('--plan-digest <digest>', 'the plan, by its digest or the first 12 digits of it');

const subjectOptions = [
  planOption,
  planDigestOption,
  new Option('--node <name>', 'a node, by name'),
  new Option('--wave <number>', 'a wave, by number').argParser(positive),
  new Option('--cutover', 'the cutover: Cilium becomes the owner of CNI and policies'),
  new Option('--cleanup', 'the removal of Canal: the point of no return'),
];
const nodeOption = new Option('--node <name>', 'a node, by name');
const stepOption = new Option('--step <name>', 'a step that has no attempt left, as the status names it');

const clusterOption = [new Option('--cluster <name>', 'a cluster of the fleet').makeOptionMandatory()];

/** A message as a command: its description, and its options, which are the fields of the message. */
export interface MessageCommand<Name> {
  message: Name;
  description: string;
  options: readonly Option[];
  /**
   * True when exactly one of the options must be given.
   * @default false: the worker checks them
   */
  needsOne?: true;
}

/** Every message to a fleet. */
export const fleetMessages: readonly MessageCommand<FleetMessageName>[] = [
  { message: 'approve', description: 'allow a cluster to start', options: clusterOption },
  { message: 'skip', description: 'skip a cluster that is not being migrated', options: clusterOption },
  {
    message: 'retry',
    description: 'retry a cluster that failed, was skipped or rolled back',
    options: clusterOption,
  },
  { message: 'pause', description: 'start no other cluster', options: [] },
  { message: 'resume', description: 'resume after a pause', options: [] },
  { message: 'abort', description: 'end the fleet after the migrations in progress', options: [] },
];

/** Every message to a migration. */
export const messages: readonly MessageCommand<MessageName>[] = [
  {
    message: 'approve',
    description: 'approve the plan, a node, a wave, the cutover or the cleanup',
    options: subjectOptions,
  },
  {
    message: 'reject',
    description: 'reject the plan, a node, a wave, the cutover or the cleanup',
    options: subjectOptions,
  },
  { message: 'pause', description: 'pause: finish nodes in progress, and start nothing new', options: [] },
  { message: 'resume', description: 'resume after a pause', options: [] },
  {
    message: 'skip',
    description: 'skip a node for now, or a step that the migration can do without',
    options: [nodeOption, stepOption],
    needsOne: true,
  },
  {
    message: 'retry',
    description: 'retry a node that failed, was skipped or rolled back, or steps that have no attempt left',
    options: [nodeOption, stepOption, new Option('--all', 'all steps that have no attempt left')],
    needsOne: true,
  },
  {
    message: 'rollback',
    description: 'roll a node, or all nodes, back to Canal',
    options: [
      new Option('--node <name>', 'a node, by name'),
      new Option('--all', 'all nodes; also removes Cilium'),
      new Option('--outside-windows', 'at once, also outside the maintenance windows'),
    ],
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
