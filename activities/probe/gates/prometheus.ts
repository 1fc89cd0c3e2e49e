import { z } from 'zod';
import type { Gates } from '../../../model/gates.ts';
import { externalGate, type SendRequest } from './external.ts';
import type { Gate } from './gate.ts';

/** A sample in Prometheus' HTTP API. */
const sampleSchema = z.tuple([z.number(), z.string()]);

/** Response of Prometheus' HTTP API to an instant query. */
const responseSchema = z.looseObject({
  data: z.discriminatedUnion('resultType', [
    z.looseObject({ resultType: z.literal('scalar'), result: sampleSchema }),
    z.looseObject({ resultType: z.literal('vector'), result: z.array(z.looseObject({ value: sampleSchema })) }),
  ]),
});

/** Creates a gate that holds when no current value of a query exceeds its limit. */
export function prometheusGate({ url, query, max }: Gates['prometheus'][number], send: SendRequest): Gate {
  const address = new URL('api/v1/query', url.endsWith('/') ? url : `${url}/`);
  address.searchParams.set('query', query);
  return externalGate(`Prometheus ${address.host}`, async () => {
    const { statusCode, body } = await send(address);
    if (statusCode !== 200) return `answers the query ${query} with status ${statusCode}`;
    const exceeding = parseValues(body).find((value) => !(value <= max));
    return exceeding === undefined ? undefined : `reports that ${query} is ${exceeding}; its limit is ${max}`;
  });
}

/** @throws Error, which does not quote the answer, for one that is not that of an instant query. */
function parseValues(text: string): number[] {
  const parsed = responseSchema.safeParse(parseJson(text));
  if (!parsed.success) throw new Error('the answer is not that of an instant query with a scalar or a vector');
  const { data } = parsed.data;
  const samples = data.resultType === 'scalar' ? [data.result] : data.result.map(({ value }) => value);
  return samples.map(([, value]) => Number(value));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
