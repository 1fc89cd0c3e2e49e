import { bridgeObjects } from '../../activities/helpers/identity-bridge-objects.ts';
import { natExemptionObject } from '../../activities/helpers/nat-exemption.ts';

const target = { sourcePodCidr: '10.244.0.0/16', targetPodCidr: '10.245.0.0/16', coexistenceImage: 'coexistence:1' };

it('a new image of the NAT exemption replaces few of its pods at a time', () => {
  const updates = (maxUnavailable: number) => ({
    spec: { updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable } } },
  });

  expect(natExemptionObject(target)).toMatchObject(updates(1));
  expect(natExemptionObject(target, 12)).toMatchObject(updates(12));
});

it('the identity bridge is ready only while it confirms that it is in sync', () => {
  const [deployment] = bridgeObjects(target, {}).filter(({ kind }) => kind === 'Deployment');

  expect(deployment).toMatchObject({
    spec: {
      template: {
        spec: {
          containers: [
            {
              env: expect.arrayContaining([{ name: 'READY_MAX_AGE', value: '20s' }]) as unknown,
              readinessProbe: { exec: { command: ['/coexistence', 'ready'] } },
            },
          ],
        },
      },
    },
  });
});
