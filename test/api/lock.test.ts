import { createLabActivities } from '../support/activity.ts';
import { useSharedControlPlane } from '../support/shared-control-plane.ts';

const lab = useSharedControlPlane();
const holder = (runId: string, workflowId = 'cni-migration/a') => ({
  cluster: lab().layout.context,
  workflowId,
  runId,
});
const held = (): Promise<string> =>
  lab().kubectl(
    'get',
    'lease',
    '-n',
    'kube-system',
    'cni-live-migration',
    '--ignore-not-found',
    '-o',
    'jsonpath={.spec.holderIdentity}'
  );
const locks = (open: boolean | undefined) =>
  createLabActivities(lab(), lab().layout.kubeconfig, () => Promise.resolve(open));

it('is acquired once, again by the same run, and released only by its holder', async () => {
  const { acquireLock, releaseLock } = locks(true);
  await acquireLock(holder('1'));
  await acquireLock(holder('1'));
  expect(await held()).toBe('cni-migration/a 1');
  await releaseLock(holder('2'));
  expect(await held()).toBe('cni-migration/a 1');
  await releaseLock(holder('1'));
  await releaseLock(holder('1'));
  expect(await held()).toBe('');
});

it.each([
  ['is open', true, 'end the workflow cni-migration/a first'],
  ['is not known here', undefined, 'delete the Lease'],
])('is refused while its holder %s', async (_, open, message) => {
  await locks(open).acquireLock(holder('1'));
  const refused = locks(open).acquireLock(holder('2', 'cni-migration/b'));
  await expect(refused).rejects.toMatchObject({
    type: 'MigrationRunning',
    nonRetryable: true,
    message: expect.stringContaining(message) as string,
  });
  await locks(open).releaseLock(holder('1'));
});

it('is taken over from a holder that has ended, by only one of two', async () => {
  await locks(true).acquireLock(holder('1'));
  const { acquireLock } = locks(false);
  const outcomes = await Promise.allSettled([acquireLock(holder('2')), acquireLock(holder('3', 'cni-migration/b'))]);
  expect(outcomes.some(({ status }) => status === 'fulfilled')).toBe(true);
  const winners = outcomes.filter(({ status }) => status === 'fulfilled').length;
  // The later one may have come after the first one took the lock; here, that holder "has ended" too.
  expect(await held()).toMatch(winners === 2 ? /[23]$/ : /^cni-migration\/[ab] [23]$/);
});
