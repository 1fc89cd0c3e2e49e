import type { V1Pod } from '@kubernetes/client-node';
import { helperNamespace as namespace } from '../../activities/kubernetes/names.ts';
import type { Network } from '../../model/network.ts';
import { createLabActivities } from '../support/activity.ts';
import { recordNamespace, waitForServiceAccount } from '../support/objects.ts';
import { useRepeatedActivities } from '../support/repeatable-cluster.ts';

const node = 'n1';

/** Reports of the pods, by their purpose. */
let reports: Record<string, string> = {};
/** Pods that ran, in order. */
let ran: V1Pod[] = [];
const purpose = ({ metadata }: V1Pod): string => metadata?.labels?.['app'] ?? '';

const { lab, apply } = useRepeatedActivities([node], (pod) => {
  ran.push(pod);
  return reports[purpose(pod)] ?? '';
});

beforeAll(async () => {
  await apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  // The image that the scripts use when Cilium's agents are gone.
  await recordNamespace(lab(), { hostImage: 'cilium:1' });
  await waitForServiceAccount(lab(), namespace);
});
beforeEach(() => {
  reports = {};
  ran = [];
});

const cleanHost = (traces: Network): Promise<void> =>
  createLabActivities(lab()).cleanHost({
    cluster: lab().layout.context,
    node,
    traces,
    coexistenceImage: 'coexistence:1',
  });
const purposes = (): string[] => [...new Set(ran.map(purpose))];

it("removes Canal's tables of nftables after its script has succeeded, without further privileges", async () => {
  await cleanHost('canal');

  expect(purposes()).toEqual(['clean-canal', 'clean-tables']);
  const spec = ran.find((pod) => purpose(pod) === 'clean-tables')?.spec;
  expect(spec?.hostNetwork).toBe(true);
  expect(spec?.volumes).toBeUndefined();
  expect(spec?.containers[0]).toMatchObject({
    image: 'coexistence:1',
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] } },
  });
});

it('names everything that is left over', async () => {
  reports = { 'clean-canal': 'link flannel.1\n', 'clean-tables': 'table ip calico\nchain ip filter cali-FORWARD' };

  await expect(cleanHost('canal')).rejects.toMatchObject({
    type: 'CleanupIncomplete',
    nonRetryable: false,
    message: expect.stringContaining(
      `left over on ${node}: link flannel.1; table ip calico; chain ip filter cali-FORWARD`
    ) as string,
  });
});

it('leaves the tables of Canal to Canal when Cilium is removed', async () => {
  await cleanHost('cilium');

  expect(purposes()).toEqual(['clean-cilium']);
});
