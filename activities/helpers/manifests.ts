import type { MigrationInput } from '../../model/input.ts';
import { bridgeObjects } from './identity-bridge.ts';
import { natExemptionObject } from './nat-exemption.ts';
import type { NamedObject } from '../kubernetes/apply.ts';
import { proberObjects } from './probers.ts';

/** The objects of ours that a migration makes, before it knows where services are and which image is on the nodes. */
export function ownObjects(input: MigrationInput, sourcePodCidr: string): NamedObject[] {
  const target = { targetPodCidr: input.podCidr, proberImage: input.proberImage, ledger: input.ledger };
  const coexistence = { targetPodCidr: input.podCidr, coexistenceImage: input.coexistenceImage };
  return [
    ...proberObjects(target, { clusterIp: '', nodePort: 0 }),
    natExemptionObject({ sourcePodCidr, ...coexistence }),
    ...(input.policyMode === 'off' ? [] : bridgeObjects(coexistence, {})),
  ];
}
