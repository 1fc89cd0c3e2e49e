import type { SerializationContext } from '@temporalio/common';
import { z } from 'zod';

/**
 * Place for which a payload is encrypted. It is not secret, but it is authenticated: a copy of the payload is refused
 * everywhere else, so that an approval of one migration is none of another.
 */
export interface Binding {
  namespace: string;
  /** @default any workflow: the codec server does not know the workflow of a payload, unless a client names it */
  workflowId?: string | undefined;
  /** @default none: the payload is not of an activity */
  activityId?: string | undefined;
}

const bindingSchema = z.strictObject({
  namespace: z.string(),
  workflowId: z.string().optional(),
  activityId: z.string().optional(),
});

/** Returns the binding of payloads in a context of the SDK. */
export function bindingOf(context: SerializationContext): Binding {
  const { namespace, workflowId } = context;
  return { namespace, workflowId, activityId: context.type === 'activity' ? context.activityId : undefined };
}

/** Formats a binding for a payload's metadata. Equal bindings have the same text. */
export function formatBinding({ namespace, workflowId, activityId }: Binding): string {
  return JSON.stringify({ namespace, workflowId, activityId });
}

/** Parses a binding; undefined for a text that is none. */
export function parseBinding(text: string): Binding | undefined {
  try {
    const { data } = bindingSchema.safeParse(JSON.parse(text));
    return data;
  } catch {
    return undefined;
  }
}

/** Returns true when a payload with this binding belongs to the context in which it was received. */
export function belongsTo(binding: Binding, context: SerializationContext): boolean {
  const expected = bindingOf(context);
  if (binding.namespace !== expected.namespace) return false;
  if (binding.workflowId === undefined) return true;
  return binding.workflowId === expected.workflowId && binding.activityId === expected.activityId;
}
