import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import path from 'node:path';
import type { V1Node } from '@kubernetes/client-node';
import { labDown, labUp } from '../../lab/cluster/lab.ts';
import { rebootMachine, runInside } from '../../lab/machine/machine.ts';
import { projectDir } from '../../lab/paths.ts';
import { waitFor } from '../../lab/process.ts';
import { readHostState } from '../support/host-state.ts';
import { uniqueLabName } from '../support/lab.ts';
import { get } from '../support/objects.ts';
import { timeLimits } from '../support/time-limits.ts';

const names = [uniqueLabName('life'), uniqueLabName('other')];
const [first = '', second = ''] = names;

afterAll(async () => {
  for (const name of names) await labDown(name);
});

it('starts after a crash of `up`, next to another lab; reboots; and leaves nothing', async () => {
  const before = await readHostState(names);

  // "lab up" is killed when it has just started the nodes.
  const up = spawn(
    process.execPath,
    [path.join(projectDir, 'lab', 'cli.ts'), 'up', '--name', first, '--nodes', '1', '--no-app'],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    }
  );
  for await (const line of createInterface({ input: up.stderr })) {
    if (line.startsWith('control plane up')) up.kill('SIGKILL');
  }
  expect(await readHostState(names)).not.toEqual(before);

  // A second lab at the same time, and the first one again.
  const [lab, otherLab] = await Promise.all([
    labUp({ name: first, nodes: 1, app: false, ephemeral: true }),
    labUp({ name: second, nodes: 0, ephemeral: true }),
  ]);
  expect(lab.layout.record.index).not.toBe(otherLab.layout.record.index);
  expect((await otherLab.kubectl('get', 'nodes', '-o', 'name')).trim()).toBe('');

  // A reboot changes the boot ID and removes all links, and the node recovers automatically.
  const node = () => get<V1Node>(lab, 'node', 'node1');
  const bootId = (await node()).status?.nodeInfo?.bootID;
  const machine = lab.layout.machineDir('node1');
  expect(await runInside(machine, ['ip', '-br', 'link'])).toContain('flannel.1');
  await rebootMachine(machine);
  expect(await runInside(machine, ['ip', '-br', 'link'])).not.toContain('cali');
  const readyAgain = async (): Promise<boolean> => {
    const { status } = await node();
    const ready = status?.conditions?.find((condition) => condition.type === 'Ready')?.status === 'True';
    return ready && status?.nodeInfo?.bootID !== bootId;
  };
  await waitFor('node1 to be Ready again', readyAgain, { timeoutMs: timeLimits.clusterChange });
  await lab.kubectl('-n', 'kube-system', 'rollout', 'status', 'daemonset/canal', '--timeout=300s');
  const podsAreBack = async (): Promise<boolean> => {
    const lines = (await lab.kubectl('-n', 'kube-system', 'get', 'pods', '--no-headers')).trim().split('\n');
    return lines.every((line) => / (1\/1|2\/2) /.test(line));
  };
  await waitFor('pods to be back', podsAreBack, { timeoutMs: timeLimits.podsReady });

  await labDown(first);
  await labDown(second);
  await labDown(second);
  expect(await readHostState(names)).toEqual(before);
});

it.each([
  ['', 3],
  ['Upper', 3],
  ['-x', 3],
  ['../up', 3],
  ['good', -1],
  ['good', 51],
])('refuses the name "%s" with %s nodes', async (name, nodes) => {
  await expect(labUp({ name, nodes })).rejects.toThrow(/is not a valid lab name|use 0 to 50/);
});
