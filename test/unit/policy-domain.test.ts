import fc from 'fast-check';
import { contains, representatives } from '../../activities/policy/evaluation/addresses.ts';
import type { Peer, PeerTest } from '../../activities/policy/evaluation/flows.ts';
import { PeerClasses } from '../../activities/policy/evaluation/peer-classes.ts';

const network = '10.0.0.0/24';

/** CIDRs of all sizes in and around {@link network}, of which many contain each other or are equal. */
const cidrs = fc.array(
  fc
    .tuple(fc.constantFrom('10.0.0', '10.0.1', '9.255.255'), fc.nat(255), fc.integer({ min: 20, max: 32 }))
    .map(([prefix, host, length]) => `${prefix}.${host}/${length}`),
  { maxLength: 12 }
);

/** Returns the CIDRs that contain an address, as text. */
const signature = (list: readonly string[], address: string): string =>
  list.map((cidr) => (contains(cidr, address) ? '1' : '0')).join('');

it('represents every part into which CIDRs divide a network by one address', () => {
  fc.assert(
    fc.property(cidrs, (list) => {
      const everySignature = Array.from({ length: 256 }, (_, host) => signature(list, `10.0.0.${host}`));

      const addresses = representatives(list, network);

      expect(addresses.every((address) => contains(network, address))).toBe(true);
      expect(addresses.map((address) => signature(list, address))).toEqual([...new Set(everySignature)]);
    })
  );
});

const namespaces = ['a', 'b', 'c'];

const peers = fc.array(
  fc.oneof(
    fc
      .record({ namespace: fc.constantFrom(...namespaces), app: fc.nat(2), named: fc.boolean() })
      .map(({ namespace, app, named }): Peer => ({
        kind: 'pod',
        namespace,
        namespaceLabels: {},
        labels: { app: String(app) },
        serviceAccount: 'default',
        serviceAccountLabels: {},
        address: '10.0.0.1',
        ports: named ? [{ name: 'http', protocol: 'TCP', port: 80 }] : [],
      })),
    fc
      .boolean()
      .map((local): Peer => ({ kind: 'node', address: '192.168.1.1', overlay: { canal: '', cilium: '' }, local })),
    fc.nat(3).map((host): Peer => ({ kind: 'world', address: `203.0.113.${host}` }))
  ),
  { maxLength: 30 }
);

const podTest = (namespace: string | undefined, app: number): PeerTest => ({
  key: `${namespace} ${app}`,
  ...(namespace !== undefined && { namespace }),
  matches: (peer) =>
    peer.kind === 'pod' && peer.labels['app'] === String(app) && (namespace ?? peer.namespace) === peer.namespace,
});

const tests = fc.array(
  fc.oneof(
    fc.tuple(fc.option(fc.constantFrom(...namespaces), { nil: undefined }), fc.nat(2)).map((args) => podTest(...args)),
    fc.nat(3).map((host): PeerTest => ({ matches: ({ address }) => address === `203.0.113.${host}` }))
  ),
  { maxLength: 6 }
);

it.each(['ingress', 'egress'] as const)(
  'selects the first peer of those with equal results of all tests: %s',
  (direction) => {
    fc.assert(
      fc.property(
        peers,
        fc.array(tests, { minLength: 1, maxLength: 4 }),
        fc.nat(60),
        (allPeers, subjects, maxStored) => {
          const classes = new PeerClasses(allPeers, maxStored);
          for (const subjectTests of subjects) {
            const firstByKey = new Map<string, Peer>();
            for (const peer of allPeers) {
              const kind = [peer.kind, peer.kind === 'node' && peer.local];
              const ports = peer.kind === 'pod' && direction === 'egress' ? peer.ports : [];
              const key = JSON.stringify([kind, ports, subjectTests.map(({ matches }) => matches(peer))]);
              if (!firstByKey.has(key)) firstByKey.set(key, peer);
            }

            expect(classes.listFirst(direction, subjectTests)).toEqual([...firstByKey.values()]);
          }
        }
      )
    );
  }
);
