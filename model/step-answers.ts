/** Questions about steps that have failed too often: their answers, and how messages answer them. */
import { isQuestion, isStopped, repeatedStepText, type RepeatedStep } from './attempts.ts';
import type { Answer } from './decision.ts';
import type { MessageName, Messages } from './message-schemas.ts';
import type { MigrationStatus, NodeProgress, NodeStatus } from './status.ts';
import { summarizeList } from './summarize.ts';
import type { Wait } from './wait.ts';

/** Maximum number of steps that a refusal names. */
const maxNamed = 5;

/** Returns the answers to the question about a step of the whole cluster; none while it is not a question. */
export function stepAnswers(repeated: RepeatedStep, all: readonly RepeatedStep[]): Answer[] {
  if (!isQuestion(repeated)) return [];
  const { step, mayBeSkipped = false } = repeated;
  const answers: Answer[] = [{ does: retryText(repeated), message: 'retry', input: { step } }];
  const others = all.filter(isQuestion).length - 1;
  if (others > 0)
    answers.push({ does: `retry it and ${others} other steps that wait`, message: 'retry', input: { all: true } });
  if (isStopped(repeated) && mayBeSkipped)
    answers.push({ does: 'continue without this step', message: 'skip', input: { step } });
  return answers;
}

/** Returns the answers to the questions about the steps of a node; none without a question. */
export function nodeStepAnswers(
  { node, repeatedSteps = [], isRestoring = false }: NodeProgress,
  { phase }: Pick<MigrationStatus, 'phase'>
): Answer[] {
  const question = repeatedSteps.find(isQuestion);
  if (question === undefined) return [];
  const retry: Answer = { does: `${retryText(question)} on ${node}`, message: 'retry', input: { node } };
  if (isRestoring || phase !== 'migrate') return [retry];
  return [retry, { does: `roll back node ${node} to Canal`, message: 'rollback', input: { node } }];
}

function retryText({ state }: RepeatedStep): string {
  return state === 'stopped' ? 'try the step again' : 'continue to try the step, and ask again later';
}

/**
 * Returns the wait for a step whose attempts fail: a question of the migration itself first, then one of a node, then a
 * step of the migration that is still repeated. Undefined without one.
 * @param interruptions messages that end the migration as it is now.
 */
export function findStepWait(
  { repeatedSteps = [], nodes }: Pick<MigrationStatus, 'repeatedSteps' | 'nodes'>,
  interruptions: readonly Answer[]
): Wait | undefined {
  const question = repeatedSteps.find(isQuestion);
  if (question !== undefined) return stepWait(question, [...stepAnswers(question, repeatedSteps), ...interruptions]);
  for (const { repeatedSteps: ofNode = [], answers = [] } of nodes) {
    const nodeQuestion = ofNode.find(isQuestion);
    if (nodeQuestion !== undefined) return stepWait(nodeQuestion, [...answers, ...interruptions]);
  }
  const [repeated] = repeatedSteps;
  return repeated && stepWait(repeated, [...interruptions]);
}

function stepWait(repeated: RepeatedStep, answers: Answer[]): Wait {
  const kind = isStopped(repeated) ? 'decision' : 'step';
  return { kind, key: repeated.step, subject: repeatedStepText(repeated), answers };
}

/** Maximum number of answers of nodes that are shown in addition to those of the wait. */
const maxNodeAnswers = 20;

/** Returns the messages that end the wait of a migration, and then those that end the waits of its nodes. */
export function openAnswers({ waiting, nodes }: Pick<MigrationStatus, 'waiting' | 'nodes'>): Answer[] {
  const own = waiting?.answers ?? [];
  const keyOf = ({ message, input }: Answer): string => JSON.stringify([message, input]);
  const shown = new Set(own.map(keyOf));
  const ofNodes = nodes.flatMap(({ answers = [] }) => answers).filter((answer) => !shown.has(keyOf(answer)));
  return [...own, ...ofNodes.slice(0, maxNodeAnswers)];
}

/**
 * Answers the questions about steps that a message names, and shows that they are answered.
 * @returns the effect; undefined when the message answers no question.
 */
export function answerSteps<Name extends MessageName>(
  name: Name,
  message: Messages[Name],
  status: MigrationStatus
): { done: string } | undefined {
  if (name !== 'retry' && name !== 'skip') return undefined;
  const { node, step, all } = message as Messages['retry'];
  if (node !== undefined) return name === 'retry' ? retryNodeSteps(node, status) : undefined;
  const questions = (status.repeatedSteps ?? []).filter((candidate) => mayAnswer(name, candidate));
  const answered = all === true ? questions : questions.filter((candidate) => candidate.step === step);
  const nodes = all === true ? status.nodes.filter(hasRetry) : [];
  if (answered.length + nodes.length === 0) return undefined;
  status.repeatedSteps = (status.repeatedSteps ?? []).map((candidate) =>
    answered.includes(candidate) ? { ...candidate, state: 'repeating' } : candidate
  );
  for (const { name: other } of nodes) retryNodeSteps(other, status);
  const subjects = [...answered.map((candidate) => `"${candidate.step}"`), ...nodes.map((each) => each.name)];
  return { done: `${name === 'retry' ? 'repeated' : 'skipped'}: ${summarizeList(subjects, maxNamed)}` };
}

function mayAnswer(name: 'retry' | 'skip', step: RepeatedStep): boolean {
  return name === 'retry' ? isQuestion(step) : isStopped(step) && step.mayBeSkipped === true;
}

function hasRetry({ answers = [] }: NodeStatus): boolean {
  return answers.some(({ message }) => message === 'retry');
}

function retryNodeSteps(name: string, { nodes }: MigrationStatus): { done: string } | undefined {
  const node = nodes.find((candidate) => candidate.name === name);
  if (node === undefined || !hasRetry(node)) return undefined;
  delete node.answers;
  if (node.repeatedSteps !== undefined)
    node.repeatedSteps = node.repeatedSteps.map((step) => ({ ...step, state: 'repeating' }));
  return { done: `the step of ${name} is repeated` };
}

/** Returns the reason why a message that names steps answers no question. */
export function stepRefusal(
  name: 'retry' | 'skip',
  { step, all }: Pick<Messages['retry'], 'step' | 'all'>,
  { repeatedSteps = [] }: MigrationStatus
): string {
  const questions = repeatedSteps.filter(isQuestion).map((candidate) => `"${candidate.step}"`);
  const named = questions.length === 0 ? 'no step' : `only ${summarizeList(questions, maxNamed)}`;
  const repeated = repeatedSteps.find((candidate) => candidate.step === step);
  if (all === true || repeated === undefined)
    return `${named} waits for an answer${step === undefined ? '' : `, and not "${step.slice(0, 200)}"`}`;
  if (!isQuestion(repeated)) {
    const asks = repeated.asksAt === undefined ? '' : `; it becomes a question after ${repeated.asksAt}`;
    return `the step "${repeated.step}" is repeated automatically: attempt ${repeated.attempts} failed at ${repeated.failedAt}${asks}`;
  }
  // A question that accepts no such answer.
  const reason = isStopped(repeated) ? 'the migration needs it' : 'it is still repeated';
  return `the step "${repeated.step}" cannot be skipped: ${reason}; ${name === 'skip' ? 'retry it, ' : ''}abort or roll back, where its answers say so`;
}
