import type { V1Node } from '@kubernetes/client-node';
import { activitiesOf } from '../support/activity.ts';
import { useLab } from '../support/lab.ts';
import { apply, bareNode, get } from '../support/objects.ts';

const lab = useLab({ nodes: 0 });
const read = (name: string): Promise<V1Node> => get<V1Node>(lab(), 'node', name);
const target = (node: string) => ({ cluster: lab().layout.context, node });

it('cordons a node and uncordons it again, each twice without harm', async () => {
  await apply(lab(), bareNode('plain'));
  const { cordonNode, uncordonNode } = activitiesOf(lab());
  await cordonNode(target('plain'));
  await cordonNode(target('plain'));
  expect((await read('plain')).spec?.unschedulable).toBe(true);
  await uncordonNode(target('plain'));
  await uncordonNode(target('plain'));
  const node = await read('plain');
  expect(node.spec?.unschedulable).toBeUndefined();
  expect(Object.keys(node.metadata?.annotations ?? {}).filter((key) => key.startsWith('cni-live-migration'))).toEqual(
    []
  );
});

it('leaves a node cordoned that somebody else cordoned', async () => {
  await apply(lab(), bareNode('theirs'));
  await lab().kubectl('cordon', 'theirs');
  const { cordonNode, uncordonNode } = activitiesOf(lab());
  await cordonNode(target('theirs'));
  await uncordonNode(target('theirs'));
  expect((await read('theirs')).spec?.unschedulable).toBe(true);
});

it('says that a node is gone', async () => {
  const { cordonNode, uncordonNode } = activitiesOf(lab());
  await expect(cordonNode(target('gone'))).rejects.toMatchObject({ type: 'NodeNotReady', nonRetryable: true });
  await expect(uncordonNode(target('gone'))).resolves.toBeUndefined();
});
