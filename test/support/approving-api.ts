import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type { ApprovalObject } from '../../model/migration-approval.ts';

/** An API server as far as `cni-migrate approve` sees it. */
export interface ApprovingApi {
  kubeconfig: string;
  close: () => void;
}

/**
 * Starts an API server that accepts every approval of one user.
 * @param dir folder for the kubeconfig.
 * @param onApproval called with each approval.
 */
export async function startApprovingApi(
  dir: string,
  username: string,
  onApproval: (approval: ApprovalObject) => void
): Promise<ApprovingApi> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString()) as ApprovalObject;
      const isApproval = request.url?.includes('/migrationapprovals') === true;
      if (isApproval) onApproval(body);
      const answer = isApproval
        ? { ...body, metadata: { name: 'approval-x' } }
        : { status: { userInfo: { username } } };
      response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const kubeconfig = path.join(dir, 'approver.kubeconfig');
  const config = {
    ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'prod' },
    // The library of the client accepts HTTP only with this.
    clusters: [{ name: 'prod', cluster: { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'alice', user: {} }],
    contexts: [{ name: 'prod', context: { cluster: 'prod', user: 'alice' } }],
  };
  await writeFile(kubeconfig, JSON.stringify(config));
  return { kubeconfig, close: () => server.close() };
}
