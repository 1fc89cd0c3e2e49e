import { InterceptingCall, status, type Interceptor } from '@grpc/grpc-js';
import { Connection } from '@temporalio/client';
import { requestInterceptors } from '../../client/request-interceptors.ts';
import { freePort } from '../../lab/cluster/temporal.ts';

/** Returns the address of a port where nothing listens. */
const unusedAddress = async (): Promise<string> => `127.0.0.1:${await freePort()}`;

it('cancels a request that would be repeated after its connection was closed', async () => {
  let attempts = 0;
  const count: Interceptor = (options, nextCall) => {
    attempts++;
    return new InterceptingCall(nextCall(options));
  };
  const [retry, ...others] = requestInterceptors;
  if (retry === undefined) throw new Error('there are interceptors');
  const connection = Connection.lazy({ address: await unusedAddress(), interceptors: [retry, count, ...others] });
  const request = connection.workflowService.getSystemInfo({}).catch((error: unknown) => error);
  while (attempts < 2) await new Promise((resolve) => setTimeout(resolve, 5));

  await connection.close();

  expect(await request).toMatchObject({ code: status.CANCELLED });
});

it('cancels a request that begins after its connection was closed', async () => {
  const connection = Connection.lazy({ address: await unusedAddress(), interceptors: [...requestInterceptors] });
  await connection.close();

  await expect(connection.workflowService.getSystemInfo({})).rejects.toMatchObject({ code: status.CANCELLED });
});
