import type { Gates } from '../../../model/gates.ts';
import { externalGate, type SendRequest } from './external.ts';
import type { Gate } from './gate.ts';

/** Creates a gate that holds when a URL answers with a status of 200 to 299. */
export function httpGate({ url }: Gates['http'][number], send: SendRequest): Gate {
  const address = new URL(url);
  return externalGate(`HTTP ${address.host}${address.pathname}`, async () => {
    const { statusCode } = await send(address);
    return statusCode >= 200 && statusCode < 300 ? undefined : `answers with status ${statusCode}`;
  });
}
