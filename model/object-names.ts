import { z } from 'zod';

/** Name of a node: the name of an object of Kubernetes (RFC 1123). It cannot be read as a path or an option. */
export const nodeNameSchema = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/, 'must be the name of a node')
  .refine((name) => !name.includes('..'), 'must not contain ".."');

/** A pod, `namespace/name`. */
export const podKeySchema = z.string().regex(/^[a-z0-9-]{1,63}\/[a-z0-9.-]{1,253}$/, 'must be namespace/name');
