import type { MigrationInput } from '../../workflows/model/input.ts';
import { natExemptionObjects } from '../host/helpers.ts';
import type { NamedObject } from '../kubernetes/apply.ts';
import { proberObjects } from '../probe/probers.ts';

/** The objects of ours that a migration makes, before it knows where services are and which image is on the nodes. */
export function ownObjects(input: MigrationInput, sourcePodCidr: string): NamedObject[] {
  const target = { targetPodCidr: input.podCidr, proberImage: input.proberImage, ledger: input.ledger };
  return [
    ...proberObjects(target, { clusterIp: '', nodePort: 0 }),
    ...natExemptionObjects({ sourcePodCidr, targetPodCidr: input.podCidr }, input.proberImage),
  ];
}
