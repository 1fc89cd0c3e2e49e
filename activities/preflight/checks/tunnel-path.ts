import { summarizeList } from '../../../model/summarize.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';

/** Checks that packets to the new overlay's port reach the other nodes. */
export const tunnelPath: PreflightCheck = {
  ensures: 'UDP packets to the port of the new overlay reach the other nodes from every node. Real packets are sent.',
  verdicts:
    'Blocks when packets between two nodes are not answered, or when a node cannot be inspected; warns when nodeInspection is off. With more than ten nodes, each sends to the nodes 1, 2, 4, 8, 16 and 32 positions further in the list.',
  fix: 'Allow the port in both directions between all nodes: host firewalls, security groups, network policies of the cloud.',
  rationale: 'An overlay whose port is blocked appears healthy, but no packet arrives.',
  run: async ({ input, hosts, ciliumIsOurs }) => {
    const facts = await hosts();
    if (facts === undefined) return warn('not checked: nodeInspection is off');
    const unread = [...facts].flatMap(([node, { unread: reason }]) =>
      reason === undefined ? [] : [`${node}: ${reason}`]
    );
    // Once Cilium uses the port, nothing else can listen on it; from then on, each node's own verification sends
    // packets.
    if ((await ciliumIsOurs()) && [...facts.values()].some(({ portTaken }) => portTaken !== undefined))
      return pass(
        `not checked: Cilium already uses UDP port ${input.tunnelPort}; each node is verified when it is migrated`
      );
    const lost = [...facts].flatMap(([node, { peers }]) =>
      peers.flatMap(({ node: peer, error }) => (error === undefined ? [] : [`${node} to ${peer}`]))
    );
    const pairs = [...facts.values()].reduce((sum, { peers }) => sum + peers.length, 0);
    return worst(
      unread.length > 0 ? block(`not inspected: ${summarizeList(unread)}`) : pass(),
      lost.length > 0
        ? block(
            `UDP packets to port ${input.tunnelPort} are not answered: ${summarizeList(lost)} (${lost.length} of ${pairs} directions)`
          )
        : pass(`UDP port ${input.tunnelPort}: packets answered in all ${pairs} directions between ${facts.size} nodes`)
    );
  },
};
