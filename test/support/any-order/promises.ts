import type { MigrationStatus } from '../../../model/status.ts';
import type { Message } from './scenario.ts';

/** An accepted message that must have an effect. */
interface Promised {
  kind: 'abort' | 'rollback all' | 'rollback node';
  node?: string;
}

/**
 * What a migration owes to operators whose messages it accepted: a rollback of a node ends with the node on Canal, and an
 * abort or a rollback of all nodes ends the run. A later message about the same replaces an earlier one, and a run
 * that is cancelled or terminated owes nothing any more.
 */
export class Promises {
  private clock = 0;
  private owed: Promised[] = [];
  private readonly restoredAt = new Map<string, number>();

  /** A message is about to be sent. @returns a function to call when it was accepted, or may have been. */
  expect({ name, input }: Message): (isCertain: boolean) => void {
    const at = ++this.clock;
    const node = typeof input['node'] === 'string' ? input['node'] : undefined;
    const promised = parsePromise(name, node);
    return (isCertain) => {
      this.owed = this.owed.filter((earlier) => !replaces({ name, node }, earlier));
      // The node may be back before the answer arrives.
      const isKept = node !== undefined && (this.restoredAt.get(node) ?? 0) > at;
      if (promised !== undefined && isCertain && !isKept) this.owed.push(promised);
    };
  }

  /** A node is on Canal, and this service has not cordoned it. */
  restored(node: string): void {
    this.restoredAt.set(node, ++this.clock);
    this.owed = this.owed.filter((promised) => promised.node !== node);
  }

  /** The run was cancelled or terminated. */
  giveUp(): void {
    this.owed = [];
  }

  /**
   * Returns the promises that a run which has ended did not keep.
   * @param execution status of the execution, such as `COMPLETED`.
   */
  findBroken(status: MigrationStatus, execution: string): string[] {
    const { owed } = this;
    this.owed = [];
    if (execution === 'CANCELLED' || execution === 'TERMINATED') return [];
    return owed
      .filter((promised) => !isKept(promised, status, execution))
      .map((promised) => `accepted and not executed: ${JSON.stringify(promised)} (${status.phase}, ${execution})`);
  }
}

function parsePromise(name: Message['name'], node: string | undefined): Promised | undefined {
  if (name === 'abort') return { kind: 'abort' };
  if (name !== 'rollback') return undefined;
  return node === undefined ? { kind: 'rollback all' } : { kind: 'rollback node', node };
}

/** True when a message replaces what an earlier one required. */
function replaces({ name, node }: { name: Message['name']; node: string | undefined }, earlier: Promised): boolean {
  if (earlier.kind === 'rollback all') return false;
  if (name === 'rollback' && node === undefined) return true;
  if (name === 'abort') return earlier.kind === 'rollback node';
  return node !== undefined && node === earlier.node && name !== 'approve';
}

/** With onFailure "stop", a rollback that fails ends the run with the reason. */
function isKept({ kind, node }: Promised, { phase, nodes }: MigrationStatus, execution: string): boolean {
  const hasFailed = execution === 'FAILED';
  if (kind === 'abort') return hasFailed;
  if (kind === 'rollback all') return phase === 'rolled-back' || (phase === 'rolling-back' && hasFailed);
  return hasFailed && nodes.find(({ name }) => name === node)?.state === 'failed';
}
