import type { ClusterConnection, Clusters } from '../../activities/kubernetes/connection.ts';

/** Position of the loss relative to the write: the API server never receives it, or executes it without an answer. */
export const lossSides = ['before', 'after'] as const;
export type LossSide = (typeof lossSides)[number];

/** APIs through which activities change the cluster. A review of permissions changes nothing. */
const writingApis = ['core', 'apps', 'policy', 'coordination', 'objects'] as const;

const writeMethod = /^(create|replace|patch|delete)/;

/** A connection to a cluster that is lost at a chosen write. All later requests fail, too, until it is restored. */
export class ConnectionLoss {
  /** Number of writes since the last {@link restore}, including the one at which the connection was lost. */
  writes = 0;
  /** True once the connection was lost. */
  lost = false;
  private lossAt: { write: number; side: LossSide } | undefined;

  /** Restores the connection. @param lossAt the next loss; writes count from 1. @default none */
  restore(lossAt?: { write: number; side: LossSide }): void {
    this.writes = 0;
    this.lost = false;
    this.lossAt = lossAt;
  }

  /** Returns the clusters with connections that this object can interrupt. */
  wrap(clusters: Clusters): Clusters {
    return { ...clusters, connect: async (cluster) => this.wrapConnection(await clusters.connect(cluster)) };
  }

  private wrapConnection(connection: ClusterConnection): ClusterConnection {
    const wrapped = writingApis.map((name) => [name, this.wrapApi(connection[name])]);
    return { ...connection, ...(Object.fromEntries(wrapped) as Partial<ClusterConnection>) };
  }

  private wrapApi(api: object): object {
    return new Proxy(api, {
      get: (target, name): unknown => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== 'function') return member;
        const call = member as (...args: unknown[]) => Promise<unknown>;
        return (...args: unknown[]) => this.send(writeMethod.test(String(name)), () => call.apply(target, args));
      },
    });
  }

  private async send(isWrite: boolean, request: () => Promise<unknown>): Promise<unknown> {
    if (this.lost) throw connectionReset();
    if (!isWrite) return request();
    this.writes++;
    if (this.writes !== this.lossAt?.write) return request();
    this.lost = true;
    if (this.lossAt.side === 'after') await request().catch(() => undefined);
    throw connectionReset();
  }
}

function connectionReset(): Error {
  return Object.assign(new Error('connection lost by the test'), { code: 'ECONNRESET' });
}
