import { directions, type Direction, type Peer, type PeerTest } from './flows.ts';

/**
 * Divides all peers of the domain into those that the policies of a pod can distinguish. Each test is evaluated once
 * for each peer that can match, and not again for each pod that the same rule selects.
 */
export class PeerClasses {
  private readonly peers: readonly Peer[];
  private readonly maxStoredIndexes: number;
  /** Classes without any policy: the number of the class of each peer, by direction. */
  private readonly initial: Readonly<Record<Direction, Uint32Array>>;
  /** Indexes of the pods of each namespace. */
  private readonly byNamespace = new Map<string, number[]>();
  private readonly all: readonly number[];
  /** Indexes of the peers that match each test. */
  private readonly byTest = new WeakMap<PeerTest, readonly number[]>();
  private readonly byKey = new Map<string, readonly number[]>();
  private storedIndexes = 0;

  /**
   * @param maxStoredIndexes maximum number of stored results, which take 8 bytes each; further tests are evaluated
   * again for each pod.
   */
  constructor(peers: readonly Peer[], maxStoredIndexes = 20_000_000) {
    this.peers = peers;
    this.maxStoredIndexes = maxStoredIndexes;
    this.all = peers.map((_, index) => index);
    const [ingress, egress] = directions.map((direction) => numberKeys(peers.map((peer) => kindKey(peer, direction))));
    this.initial = { ingress: ingress ?? new Uint32Array(), egress: egress ?? new Uint32Array() };
    for (const [index, peer] of peers.entries()) {
      if (peer.kind !== 'pod') continue;
      const indexes = this.byNamespace.get(peer.namespace);
      if (indexes === undefined) this.byNamespace.set(peer.namespace, [index]);
      else indexes.push(index);
    }
  }

  /** Returns the first peer of each class for which any of the tests has another result, in their order. */
  listFirst(direction: Direction, tests: readonly PeerTest[]): Peer[] {
    const classes = this.initial[direction].slice();
    let nextClass = this.peers.length;
    for (const test of new Set(tests)) {
      // The peers that match leave their class; those of one class stay together.
      const newClasses = new Map<number, number>();
      for (const index of this.listMatching(test)) {
        const before = classes[index] ?? 0;
        const after = newClasses.get(before) ?? nextClass++;
        newClasses.set(before, after);
        classes[index] = after;
      }
    }
    const seen = new Uint8Array(nextClass);
    return this.peers.filter((_, index) => {
      const peerClass = classes[index] ?? 0;
      if (seen[peerClass] === 1) return false;
      seen[peerClass] = 1;
      return true;
    });
  }

  private listMatching(test: PeerTest): readonly number[] {
    const { key, namespace, matches } = test;
    const existing = this.byTest.get(test) ?? (key === undefined ? undefined : this.byKey.get(key));
    if (existing !== undefined) return existing;
    const candidates = namespace === undefined ? this.all : (this.byNamespace.get(namespace) ?? []);
    const matching = candidates.filter((index) => {
      const peer = this.peers[index];
      return peer !== undefined && matches(peer);
    });
    if (this.storedIndexes + matching.length > this.maxStoredIndexes) return matching;
    this.storedIndexes += matching.length;
    this.byTest.set(test, matching);
    if (key !== undefined) this.byKey.set(key, matching);
    return matching;
  }
}

/** Returns the text of a peer's named ports, which distinguish destinations. */
export function portsKey(peer: Peer): string {
  return peer.kind === 'pod' ? JSON.stringify(peer.ports) : '';
}

function kindKey(peer: Peer, direction: Direction): string {
  const ports = direction === 'egress' ? portsKey(peer) : '';
  return [peer.kind, peer.kind === 'node' && peer.local, ports].join('|');
}

/** Replaces equal texts by equal numbers, below the number of texts. */
function numberKeys(keys: readonly string[]): Uint32Array {
  const numbers = new Map<string, number>();
  return Uint32Array.from(keys, (key) => {
    const number = numbers.get(key) ?? numbers.size;
    numbers.set(key, number);
    return number;
  });
}
