import type { MigrationInput } from '../../model/input.ts';
import { bridgeObjects } from './identity-bridge-objects.ts';
import { natExemptionObject } from './nat-exemption.ts';
import type { NamedObject } from '../kubernetes/apply.ts';
import { proberObjects } from './probers.ts';

/**
 * Builds all helper objects of a migration, with placeholders for facts that are known only later: the services'
 * addresses, and the image on the nodes.
 */
export function ownObjects(input: MigrationInput, sourcePodCidr: string): NamedObject[] {
  const target = { targetPodCidr: input.podCidr, proberImage: input.proberImage, ledger: input.ledger };
  const coexistence = { targetPodCidr: input.podCidr, coexistenceImage: input.coexistenceImage };
  return [
    ...proberObjects(target, { clusterIp: '', nodePort: 0, key: '' }),
    natExemptionObject({ sourcePodCidr, ...coexistence }),
    ...(input.policyMode === 'off' ? [] : bridgeObjects(coexistence, {})),
  ];
}
