import { z } from 'zod';
import { inputSchema, type MigrationInput } from './input.ts';
import { nodeNameSchema, podKeySchema } from './object-names.ts';
import { knownFieldProblems } from './problems.ts';

/** Input of the workflows of a node, which its cluster's migration starts. */
export interface NodeWorkflowInput {
  node: string;
  migration: MigrationInput;
  /** Pods that may be deleted when an eviction does not move them, `namespace/name`. */
  forcedPods: string[];
}

const nodeInputSchema = z.strictObject({
  node: nodeNameSchema,
  migration: inputSchema,
  forcedPods: z.array(podKeySchema),
}) satisfies z.ZodType<NodeWorkflowInput>;

/**
 * Checks the input of a node's workflow.
 * @returns the input as it is, or one line per problem.
 */
export function checkNodeInput(raw: unknown): { input: NodeWorkflowInput } | { problems: string[] } {
  const problems = knownFieldProblems(nodeInputSchema, raw, 'the input');
  return problems.length === 0 ? { input: raw as NodeWorkflowInput } : { problems };
}
