import {
  Observable,
  type ConfigurationOptions,
  type ObservableMiddleware,
  type RequestContext,
  type ResponseContext,
} from '@kubernetes/client-node';
import type { ClusterConnection } from './connection.ts';
import { failure } from '../support/failures.ts';

/** A node, and its readiness. */
export interface NodeReadiness {
  name: string;
  ready: boolean;
}

/** Table that the API server prints, as for `kubectl get`. */
export interface Table {
  columnDefinitions?: { name: string }[];
  rows?: { cells: unknown[] }[];
}

/**
 * Reads the readiness of all nodes from the table that the API server prints from its cache: a row has some 100 bytes, a
 * complete node 10 kB or more. The result may be slightly stale.
 * @throws KubernetesError when the API server returns no such table.
 */
export async function listNodeReadiness({ core }: ClusterConnection): Promise<NodeReadiness[]> {
  let text = '';
  const readTable: ObservableMiddleware = {
    pre: (request: RequestContext) => {
      request.setHeaderParam('Accept', 'application/json;as=Table;g=meta.k8s.io;v=v1');
      request.setQueryParam('includeObject', 'None');
      return new Observable(Promise.resolve(request));
    },
    post: (response: ResponseContext) => {
      const { body } = response;
      // The library knows no tables, so the text is kept here, and the library receives an empty list.
      if (response.httpStatusCode >= 200 && response.httpStatusCode < 300)
        response.body = {
          ...body,
          text: async () => {
            text = await body.text();
            return '{"kind":"NodeList","apiVersion":"v1","items":[]}';
          },
        };
      return new Observable(Promise.resolve(response));
    },
  };
  const options: ConfigurationOptions<ObservableMiddleware> = {
    middleware: [readTable],
    middlewareMergeStrategy: 'append',
  };
  await core.listNode({ resourceVersion: '0' }, options);
  return parseReadiness(JSON.parse(text) as Table);
}

/**
 * Reads names and readiness from a table of nodes. Its column Status contains Ready, NotReady or Unknown, and
 * SchedulingDisabled for a cordoned node (k8s.io/kubernetes pkg/printers/internalversion).
 * @throws KubernetesError when it is not a table of nodes.
 */
export function parseReadiness({ columnDefinitions = [], rows = [] }: Table): NodeReadiness[] {
  const [name, status] = ['Name', 'Status'].map((column) =>
    columnDefinitions.findIndex((definition) => definition.name === column)
  );
  if (name === undefined || status === undefined || name < 0 || status < 0)
    throw failure('KubernetesError', 'the API server returned nodes without the columns Name and Status', {
      retryable: true,
    });
  return rows.map(({ cells }) => ({
    name: String(cells[name]),
    ready: String(cells[status]).split(',').includes('Ready'),
  }));
}
