import { summarizeList } from '../../../model/summarize.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';

/** Checks that packets to the new overlay's port reach the other nodes. */
export const tunnelPath: PreflightCheck = {
  ensures: 'UDP packets to the port of the new overlay get from every node to every other one: real packets are sent.',
  verdicts:
    'Blocks when packets of a pair of nodes are not answered, or a node cannot be looked at; warns when no pods may run on nodes. Above ten nodes each sends to those 1, 2, 4, 8, 16 and 32 further in the list.',
  fix: 'Let the port through in both directions between all nodes: host firewalls, security groups, network policies of the cloud.',
  rationale: 'An overlay whose port is blocked looks healthy and carries nothing.',
  run: async ({ input, hosts, ciliumIsOurs }) => {
    const facts = await hosts();
    if (facts === undefined) return warn('not looked at: nodeInspection is off');
    const unread = [...facts].flatMap(([node, { unread: reason }]) =>
      reason === undefined ? [] : [`${node}: ${reason}`]
    );
    // Once Cilium uses the port, nothing else can listen on it; from then on, each node's own verification sends
    // packets.
    if ((await ciliumIsOurs()) && [...facts.values()].some(({ portTaken }) => portTaken !== undefined))
      return pass(
        `Cilium uses UDP port ${input.tunnelPort} already; every node is verified with packets when it is migrated`
      );
    const lost = [...facts].flatMap(([node, { peers }]) =>
      peers.flatMap(({ node: peer, error }) => (error === undefined ? [] : [`${node} to ${peer}`]))
    );
    const pairs = [...facts.values()].reduce((sum, { peers }) => sum + peers.length, 0);
    return worst(
      unread.length > 0 ? block(`not looked at: ${summarizeList(unread)}`) : pass(),
      lost.length > 0
        ? block(
            `UDP packets to port ${input.tunnelPort} are not answered: ${summarizeList(lost)} (${lost.length} of ${pairs} ways)`
          )
        : pass(`UDP port ${input.tunnelPort} answered on all ${pairs} ways between ${facts.size} nodes`)
    );
  },
};
