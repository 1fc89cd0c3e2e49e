import type { Gates } from '../../../model/gates.ts';
import { externalGate, type SendRequest } from './external.ts';
import type { Gate } from './gate.ts';

/** A sample in Prometheus' HTTP API. */
type Sample = [time: number, value: string];

/** Response of Prometheus' HTTP API to an instant query. */
interface QueryResponse {
  data?: { resultType?: string; result?: Sample | { metric: object; value: Sample }[] };
}

/** Creates a gate that holds when no current value of a query exceeds its limit. */
export function prometheusGate({ url, query, max }: Gates['prometheus'][number], send: SendRequest): Gate {
  const address = new URL('api/v1/query', url.endsWith('/') ? url : `${url}/`);
  address.searchParams.set('query', query);
  return externalGate(`Prometheus ${address.host}`, async () => {
    const { statusCode, body } = await send(address);
    if (statusCode !== 200) return `answers the query ${query} with status ${statusCode}`;
    const exceeding = parseValues(JSON.parse(body) as QueryResponse).find((value) => !(value <= max));
    return exceeding === undefined ? undefined : `reports that ${query} is ${exceeding}; its limit is ${max}`;
  });
}

function parseValues({ data }: QueryResponse): number[] {
  const samples = data?.resultType === 'scalar' ? [data.result as Sample] : (data?.result ?? []);
  return samples.map((sample) => Number((Array.isArray(sample) ? sample : (sample as { value: Sample }).value)[1]));
}
