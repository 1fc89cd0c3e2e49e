import { z } from 'zod';

/** Ledger options in the input. */
export const ledgerSchema = z
  .strictObject({
    /**
     * Samples per second on every path.
     * @default 20
     */
    samplesPerSecond: z.int().min(1).max(50).default(20),
    /**
     * Seconds of measurement before anything is changed.
     * @default 30
     */
    baselineSeconds: z.int().min(0).max(86_400).default(30),
    /**
     * Seconds of measurement after Canal is removed.
     * @default 30
     */
    afterSeconds: z.int().min(0).max(86_400).default(30),
    /**
     * Addresses outside the cluster, `host:port`, to which pods open five TCP connections per second.
     * @default none
     */
    outside: z
      .array(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9.-]{0,252}:\d{1,5}$/, 'must be host:port'))
      .max(5)
      .default([]),
  })
  .prefault({});

/** Ledger options of a migration. */
export type LedgerOptions = z.output<typeof ledgerSchema>;
