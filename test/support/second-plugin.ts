import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Lab } from '../../lab/cluster/lab.ts';
import { initPid, runInside } from '../../lab/machine/machine.ts';

/** Type of the second plugin: the project's own `tuning` plugin of CNI under another name. */
const pluginType = 'mesh-cni';

/** A network setting that the plugin changes in each pod, and its value. */
const setting = { name: 'net.core.somaxconn', value: '4321' };

/** A file of the other program, which nothing may rename or remove. */
export const meshFile = '20-mesh.conflist';

/** Pause between two reads of a CNI folder of a node, in ms. */
const pauseMs = 50;

interface ConfList {
  plugins: { type: string; [key: string]: unknown }[];
}

/**
 * Stands in for the installer of a service mesh's CNI, such as Istio's: adds a plugin to the first conflist of every node,
 * and again whenever that file is written.
 */
export class SecondPlugin {
  private readonly lab: Lab;
  private over = false;
  private running: Promise<unknown> = Promise.resolve();
  /** Number of times that the plugin was added, by node. */
  readonly additions = new Map<string, number>();

  private constructor(lab: Lab) {
    this.lab = lab;
  }

  /** Installs the plugin on all nodes. Resolves when it is in the first conflist of each. */
  static async install(lab: Lab): Promise<SecondPlugin> {
    const plugin = new SecondPlugin(lab);
    const { nodeNames } = lab.layout;
    for (const node of nodeNames) {
      await runInside(lab.layout.machineDir(node), ['cp', '/opt/cni/bin/tuning', `/opt/cni/bin/${pluginType}`]);
      const own = { cniVersion: '1.0.0', name: 'mesh', plugins: [entry] };
      await writeFile(path.join(await plugin.folder(node), meshFile), JSON.stringify(own));
      await plugin.add(node);
    }
    plugin.running = Promise.all(nodeNames.map((node) => plugin.repeat(node)));
    return plugin;
  }

  /** Stops the installer. */
  async stop(): Promise<void> {
    this.over = true;
    await this.running;
  }

  /** Returns the addresses of a node's pods that the plugin has configured. */
  async configuredPods(node: string): Promise<string[]> {
    const text = await runInside(this.lab.layout.machineDir(node), ['bash', '-c', readPods]);
    return text
      .split('\n')
      .map((line) => line.split(' '))
      .filter(([, value]) => value === setting.value)
      .map(([address = '']) => address);
  }

  /** Returns the CNI folder of a node, as seen from outside. */
  private async folder(node: string): Promise<string> {
    return `/proc/${await initPid(this.lab.layout.machineDir(node))}/root/etc/cni/net.d`;
  }

  private async repeat(node: string): Promise<void> {
    while (!this.over) {
      // A node that reboots has no folder.
      await this.add(node).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  /** Adds the plugin to the first conflist of a node, unless it is there. */
  private async add(node: string): Promise<void> {
    const folder = await this.folder(node);
    const [first] = (await readdir(folder)).filter((name) => name.endsWith('.conflist')).sort();
    if (first === undefined || first === meshFile) return;
    const file = path.join(folder, first);
    const list = JSON.parse(await readFile(file, 'utf8')) as ConfList;
    if (list.plugins.some(({ type }) => type === pluginType)) return;
    const temporary = path.join(folder, `.${first}.mesh`);
    await writeFile(temporary, JSON.stringify({ ...list, plugins: [...list.plugins, entry] }));
    await rename(temporary, file);
    this.additions.set(node, (this.additions.get(node) ?? 0) + 1);
  }
}

const entry = { type: pluginType, sysctl: { [setting.name]: setting.value } };

/** Prints a line for each pod: its address and the value of the setting. */
const readPods = `
for ns in /run/netns/*; do
  address=$(nsenter --net="$ns" ip -4 -o addr show dev eth0 2>/dev/null | awk '{ sub("/.*", "", $4); print $4 }')
  echo "$address $(nsenter --net="$ns" cat /proc/sys/${setting.name.replaceAll('.', '/')})"
done
`;
