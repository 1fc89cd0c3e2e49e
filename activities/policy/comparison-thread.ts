/**
 * Entry point of the thread that compares policies. Its parent starts it with the {@link ComparisonInput} to compare as
 * `workerData`, and receives one {@link ThreadAnswer}.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { evaluatePolicies, type ComparisonInput, type PolicyComparison } from './evaluation/compare.ts';

/** An error as data: a structured clone of an error loses its class. */
export interface ThreadError {
  name: string;
  message: string;
  stack?: string;
}

/** The message that the thread posts before it ends. */
export type ThreadAnswer = { comparison: PolicyComparison } | { error: ThreadError };

function compare(): ThreadAnswer {
  try {
    const { policies, cluster } = workerData as ComparisonInput;
    return { comparison: evaluatePolicies(policies, cluster) };
  } catch (error) {
    if (!(error instanceof Error)) return { error: { name: 'Error', message: String(error) } };
    const { constructor, message, stack } = error;
    return { error: { name: constructor.name, message, ...(stack !== undefined && { stack }) } };
  }
}

parentPort?.postMessage(compare());
