import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { compiledDir, labsDir, toolsDir } from '../paths.ts';
import { interruptionSignal, isRunning, run, succeeds, waitFor } from '../process.ts';
import { startMachine, stopMachine, type MachineSpec } from '../machine/machine.ts';
import { acquireFileLock } from '../tools/artefact.ts';
import { buildMissing } from '../tools/build.ts';
import { loadCatalogue, type Catalogue } from '../tools/catalogue.ts';
import { copyByLinks } from '../tools/node-images.ts';
import { writeCanalManifest } from './canal-manifest.ts';
import { controlPlaneServices, type ControlPlaneFlags } from './control-plane.ts';
import { LabLayout, controlPlane, labDir, type PacketFilter } from './layout.ts';
import { compiledFolder, nodeServices, nodeVolumes } from './node.ts';
import { stopProcesses } from './processes.ts';
import { createAuthority, createCertificate, writeKubeconfig } from './pki.ts';
import { claimRecord, listLabs, readRecord, recordFile, writeRecord } from './records.ts';

const manifests = path.join(import.meta.dirname, 'manifests');
const appManifest = path.join(import.meta.dirname, '..', 'app', 'manifests', 'app.yaml');

/** Options of {@link labUp}. */
export interface UpOptions {
  name: string;
  /**
   * Number of nodes in addition to the control plane; 0 creates an API server without nodes.
   * @default 3
   */
  nodes?: number;
  /**
   * Install Canal and CoreDNS and wait until every node is Ready.
   * @default true when there are nodes
   */
  network?: boolean;
  /**
   * Install the sample application and wait until it serves.
   * @default as `network`
   */
  app?: boolean;
  /**
   * Back end with which kube-proxy and Flannel program packets.
   * @default that of the existing lab; iptables for a new one
   */
  packetFilter?: PacketFilter;
  /**
   * Remove the lab after the end of this process: the next `up` of any lab does it.
   * @default false
   */
  ephemeral?: boolean;
  /**
   * Additional flags of the control plane's programs.
   * @default none
   */
  controlPlaneFlags?: ControlPlaneFlags;
  /** Receives progress messages. */
  log?: (line: string) => void;
}

/** A running lab, with access to its cluster. */
export interface Lab {
  layout: LabLayout;
  catalogue: Catalogue;
  /** Runs kubectl as administrator and returns its output. */
  kubectl: (...args: string[]) => Promise<string>;
}

/**
 * Creates a lab, or completes an existing one: every step first checks what exists, so that `up` resumes after a crash
 * of `up`.
 * @throws Error for an invalid name or count, another packet filter than that of the existing lab, a missing
 * prerequisite of the machine, or the name of a step that timed out.
 */
export async function labUp(options: UpOptions): Promise<Lab> {
  const { name, nodes = 3, network = nodes > 0, app = network, ephemeral = false, log = () => undefined } = options;
  if (!/^[a-z][a-z0-9-]{0,19}$/.test(name)) {
    throw new Error(
      `"${name}" is not a valid lab name: use at most 20 lower-case letters, digits and dashes, with a letter first`
    );
  }
  if (!Number.isInteger(nodes) || nodes < 0 || nodes > 50) throw new Error(`${nodes} nodes are not valid: use 0 to 50`);
  const catalogue = await loadCatalogue();
  if (nodes === 0) await buildMissing(catalogue.controlPlaneArtefacts, log);
  else await buildMissing(catalogue.artefacts, log, { removeGoCache: true });
  await removeAbandonedLabs(log);
  const layout = new LabLayout(await claimRecord(name, { nodes, ephemeral, packetFilter: options.packetFilter }));
  const lab = openLab(layout, catalogue);
  const interrupted = interruptionSignal();
  const step = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    interrupted.throwIfAborted();
    const start = Date.now();
    await work();
    log(`${what} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
  };
  await step('keys and network created', () => Promise.all([createKeys(layout), createNetwork(layout)]));
  await step('control plane up', async () => {
    await startMachine(controlPlaneMachine(lab, options.controlPlaneFlags));
    await waitFor(`the API server of ${name}`, () => ready(lab), { timeoutMs: 120_000 });
  });
  await step(`${nodes} nodes started`, () => Promise.all(layout.nodeNames.map((node) => startNode(lab, node))));
  if (network) {
    await step('Canal and CoreDNS up, nodes ready', () => installNetwork(lab));
  }
  if (app) {
    await step('sample application serves', () => installApp(lab));
  }
  return lab;
}

/**
 * Opens an existing lab.
 * @throws Error when no lab has that name.
 */
export async function findLab(name: string): Promise<Lab> {
  const record = await readRecord(name);
  if (record === undefined) throw new Error(`no lab is called ${name}; "npm run lab -- status" lists them`);
  return openLab(new LabLayout(record), await loadCatalogue());
}

/** Keeps a lab after the end of the process that created it. */
export async function keepLab({ layout }: Lab): Promise<void> {
  const { owner: _, ...record } = layout.record;
  await writeRecord(record);
}

/** Removes a lab completely. An incomplete or absent lab is no error. */
export async function labDown(name: string): Promise<void> {
  const record = await readRecord(name);
  if (record === undefined) {
    await rm(labDir(name), { recursive: true, force: true });
    return;
  }
  const layout = new LabLayout(record);
  await stopProcesses(layout.processesDir);
  // By folder, not by record: this also stops the machines of an earlier `up` with more nodes.
  const machines = await readdir(path.join(layout.dir, 'machines')).catch(() => [] as string[]);
  await Promise.all(machines.map((machine) => stopMachine(layout.machineDir(machine))));
  await run('ip', ['link', 'del', layout.hostLink]).catch(() => '');
  await run('ip', ['netns', 'del', layout.switchNetns]).catch(() => '');
  // The record is removed last: an interrupted removal can be found and resumed.
  const files = (await readdir(layout.dir).catch(() => [])).filter((file) => file !== recordFile);
  await Promise.all(files.map((file) => rm(path.join(layout.dir, file), { recursive: true, force: true })));
  await rm(layout.dir, { recursive: true, force: true });
}

function openLab(layout: LabLayout, catalogue: Catalogue): Lab {
  const kubectl = (...args: string[]): Promise<string> =>
    run(catalogue.bin('kubectl'), ['--kubeconfig', layout.kubeconfig, ...args]);
  return { layout, catalogue, kubectl };
}

/** Removes labs whose owner ended without removing them. */
export async function removeAbandonedLabs(log: (line: string) => void): Promise<void> {
  await mkdir(labsDir, { recursive: true });
  // One process at a time: two processes that start a lab would interfere with each other.
  const release = await acquireFileLock(path.join(labsDir, '.abandoned.lock'), () => undefined);
  try {
    for (const record of await listLabs()) {
      if (record.owner === undefined || (await isRunning(record.owner))) continue;
      log(`removing lab ${record.name}, which its process left behind`);
      await labDown(record.name);
    }
  } finally {
    await release();
  }
}

async function createKeys(layout: LabLayout): Promise<void> {
  await createAuthority(layout.pki);
  await createCertificate(layout.pki, 'apiserver', '/CN=kube-apiserver', layout.apiServerNames);
  const users: Record<string, string> = {
    admin: '/O=system:masters/CN=admin',
    'controller-manager': '/CN=system:kube-controller-manager',
    scheduler: '/CN=system:kube-scheduler',
    proxy: '/CN=system:kube-proxy',
    'kubelet-client': '/O=system:masters/CN=apiserver-kubelet-client',
  };
  for (const node of layout.nodeNames) users[node] = `/O=system:nodes/CN=system:node:${node}`;
  for (const [user, subject] of Object.entries(users)) {
    const names = user.startsWith('node') ? [`DNS:${user}`, `IP:${layout.nodeAddress(user)}`] : [];
    await createCertificate(layout.pki, user, subject, names);
    const file = path.join(layout.pki, `${user}.kubeconfig`);
    await writeKubeconfig(file, layout.pki, user, layout.apiServer, layout.context);
  }
  await writeKubeconfig(layout.kubeconfig, layout.pki, 'admin', layout.apiServer, layout.context);
}

/**
 * Creates a bridge in its own namespace, so that the host's packet filters do not affect the lab, and one link to the
 * host.
 */
async function createNetwork({ switchNetns, hostLink, hostAddress }: LabLayout): Promise<void> {
  if (!(await succeeds('ip', ['-n', switchNetns, 'link', 'show', 'br0']))) {
    await run('ip', ['netns', 'del', switchNetns]).catch(() => '');
    await run('ip', ['netns', 'add', switchNetns]);
    await run('ip', ['-n', switchNetns, 'link', 'add', 'br0', 'type', 'bridge']);
    await run('ip', ['-n', switchNetns, 'link', 'set', 'br0', 'up']);
    // Bridged packets must not pass iptables in the switch; kernels without br_netfilter lack the setting.
    await run('ip', ['netns', 'exec', switchNetns, 'sysctl', '-qw', 'net.bridge.bridge-nf-call-iptables=0']).catch(
      () => ''
    );
  }
  if (!(await succeeds('ip', ['link', 'show', hostLink]))) {
    await run('ip', ['link', 'add', hostLink, 'type', 'veth', 'peer', 'name', 'host', 'netns', switchNetns]);
    await run('ip', ['-n', switchNetns, 'link', 'set', 'host', 'master', 'br0', 'up']);
    await run('ip', ['addr', 'add', `${hostAddress}/24`, 'dev', hostLink]);
    await run('ip', ['link', 'set', hostLink, 'up']);
  }
}

function machine(
  lab: Lab,
  name: string,
  rest: Pick<MachineSpec, 'address' | 'layers' | 'shared' | 'volumes' | 'services'>
): MachineSpec {
  const { layout, catalogue } = lab;
  return {
    lab: layout.record.name,
    name,
    dir: layout.machineDir(name),
    gateway: layout.hostAddress,
    switchNetns: layout.switchNetns,
    readOnly: [toolsDir, layout.pki],
    binDirs: catalogue.binDirs,
    ...rest,
  };
}

function controlPlaneMachine(lab: Lab, flags: ControlPlaneFlags | undefined): MachineSpec {
  return machine(lab, controlPlane, {
    address: `${lab.layout.controlPlaneAddress}/24`,
    layers: lab.catalogue.machineLayers,
    volumes: ['/var/lib/etcd'],
    services: controlPlaneServices(lab.layout, flags),
  });
}

async function startNode(lab: Lab, name: string): Promise<void> {
  const { layout, catalogue } = lab;
  const containerd = path.join(layout.machineDir(name), 'volumes', 'var', 'lib', 'containerd');
  const complete = path.join(layout.machineDir(name), 'images-complete');
  if (!existsSync(complete)) {
    await rm(containerd, { recursive: true, force: true });
    await mkdir(path.dirname(containerd), { recursive: true });
    await copyByLinks(catalogue.containerdTemplate, containerd);
    await writeFile(complete, '');
  }
  await mkdir(compiledDir, { recursive: true });
  await startMachine(
    machine(lab, name, {
      address: `${layout.nodeAddress(name)}/24`,
      layers: catalogue.nodeLayers,
      shared: { [compiledFolder]: compiledDir },
      volumes: nodeVolumes,
      services: nodeServices(layout, name),
    })
  );
}

/** True when the API server answers that it is ready. */
export async function ready({ kubectl }: Lab): Promise<boolean> {
  return kubectl('get', '--raw', '/readyz', '--request-timeout=2s').then(
    () => true,
    () => false
  );
}

async function installNetwork(lab: Lab): Promise<void> {
  const { layout, kubectl, catalogue } = lab;
  const canal = path.join(layout.dir, 'canal.yaml');
  await writeCanalManifest(catalogue.canalManifest, canal, layout.packetFilter);
  const files = [path.join(manifests, 'kubeadm-config.yaml'), canal, path.join(manifests, 'coredns.yaml')];
  await kubectl('apply', '--server-side', '--force-conflicts', ...files.flatMap((file) => ['-f', file]));
  await waitFor(
    `the nodes ${layout.nodeNames.join(', ')} to register`,
    async () =>
      (await kubectl('get', 'nodes', '-o', 'name')).split('\n').filter(Boolean).length >= layout.nodeNames.length,
    { timeoutMs: 120_000 }
  );
  await kubectl('wait', '--for=condition=Ready', 'node', '--all', '--timeout=240s');
  await kubectl('-n', 'kube-system', 'rollout', 'status', 'daemonset/canal', '--timeout=240s');
  for (const deployment of ['coredns', 'calico-kube-controllers']) {
    await kubectl('-n', 'kube-system', 'rollout', 'status', `deployment/${deployment}`, '--timeout=180s');
  }
}

async function installApp({ kubectl }: Lab): Promise<void> {
  await kubectl('apply', '--server-side', '-f', appManifest);
  for (const workload of [
    'deployment/web',
    'deployment/api',
    'statefulset/store',
    'daemonset/client',
    'deployment/intruder',
  ]) {
    await kubectl('-n', 'shop', 'rollout', 'status', workload, '--timeout=180s');
  }
}
