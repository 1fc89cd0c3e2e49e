import { setTimeout as sleep } from 'node:timers/promises';
import { ApiException, AuthenticationV1Api, CustomObjectsApi, KubeConfig } from '@kubernetes/client-node';
import {
  approvalApiVersion,
  approvalGroup,
  approvalKind,
  approvalResource,
  approverRole,
  buildApproval,
  type ApprovalSpec,
} from '../model/migration-approval.ts';

/** Credentials of the user who approves. */
export interface Kubeconfig {
  /**
   * Path of the file.
   * @default as kubectl: KUBECONFIG, or ~/.kube/config
   */
  file?: string | undefined;
  /** @default the current context */
  context?: string | undefined;
}

/** Error of a request to the migrated cluster, with what to do. */
export class ClusterRequestError extends Error {
  override name = 'ClusterRequestError';
  /** True when the cluster has refused the request. */
  readonly isRefused: boolean;

  constructor(message: string, isRefused: boolean, cause?: unknown) {
    super(message, { cause });
    this.isRefused = isRefused;
  }
}

/** Requests to a migrated cluster with a user's own credentials. */
export class ApprovingUser {
  private readonly config: KubeConfig;
  private readonly timeoutMs: number;

  /**
   * @param timeoutMs time limit of each request, in ms.
   * @throws ClusterRequestError when the kubeconfig cannot be read, or has no such context.
   */
  constructor({ file, context }: Kubeconfig, timeoutMs: number) {
    this.timeoutMs = timeoutMs;
    this.config = new KubeConfig();
    try {
      if (file === undefined) this.config.loadFromDefault();
      else this.config.loadFromFile(file);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      throw new ClusterRequestError(`the kubeconfig cannot be read: ${text}; check --kubeconfig`, false, error);
    }
    if (context === undefined) return;
    const names = this.config.getContexts().map(({ name }) => name);
    if (!names.includes(context)) {
      const known = names.join(', ') || 'none';
      throw new ClusterRequestError(`the kubeconfig has no context "${context}"; it has ${known}`, false);
    }
    this.config.setCurrentContext(context);
  }

  /** Address of the API server, for messages. */
  get server(): string {
    return this.config.getCurrentCluster()?.server ?? 'no API server';
  }

  /** Returns the name of the user, as the API server has authenticated it. */
  async name(): Promise<string> {
    const api = this.config.makeApiClient(AuthenticationV1Api);
    const { status } = await this.request('read your user name', () => api.createSelfSubjectReview({ body: {} }));
    const username = status?.userInfo?.username;
    if (username === undefined) throw new ClusterRequestError(`${this.server} returned no name of your user`, true);
    return username;
  }

  /**
   * Creates an approval.
   * @returns its name.
   */
  async approve(spec: ApprovalSpec): Promise<string> {
    const api = this.config.makeApiClient(CustomObjectsApi);
    const version = approvalApiVersion.slice(approvalGroup.length + 1);
    const request = { group: approvalGroup, version, plural: approvalResource, body: buildApproval(spec) };
    const created = (await this.request(`create a ${approvalKind}`, () => api.createClusterCustomObject(request))) as {
      metadata?: { name?: string };
    };
    return created.metadata?.name ?? '';
  }

  private async request<Result>(operation: string, send: () => Promise<Result>): Promise<Result> {
    const ended = new AbortController();
    const limit = sleep(this.timeoutMs, undefined, { signal: ended.signal }).then(() => {
      throw new Error(`no answer within ${this.timeoutMs / 1_000} s`);
    });
    try {
      return await Promise.race([send(), limit]);
    } catch (error) {
      throw this.describe(operation, error);
    } finally {
      ended.abort();
    }
  }

  private describe(operation: string, error: unknown): ClusterRequestError {
    const prefix = `failed to ${operation} at ${this.server}`;
    if (!(error instanceof ApiException)) {
      const text = error instanceof Error ? error.message : String(error);
      return new ClusterRequestError(`${prefix}: ${text}; check --kubeconfig and --context`, false, error);
    }
    const advice =
      error.code === 404
        ? 'apply deploy/approvals/approvals.yaml to the cluster first, or check --context'
        : `you need the ClusterRole ${approverRole} there`;
    return new ClusterRequestError(`${prefix}: ${serverMessage(error)}; ${advice}`, true, error);
  }
}

/** Returns the message of the API server. */
function serverMessage({ body, code }: ApiException<unknown>): string {
  try {
    const parsed: unknown = typeof body === 'string' ? JSON.parse(body) : body;
    const message = (parsed as { message?: unknown } | null)?.message;
    if (typeof message === 'string') return message;
  } catch {
    // Such as the text of a proxy.
  }
  return `status ${code}`;
}
