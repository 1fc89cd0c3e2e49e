import path from 'node:path';
import { labsDir } from '../paths.ts';

/** Ways in which kube-proxy and Flannel of a lab program packets. */
export const packetFilters = ['iptables', 'nftables'] as const;

/** One of {@link packetFilters}. */
export type PacketFilter = (typeof packetFilters)[number];

/** Decisions of `lab up` about a lab, stored in its folder as `lab.json`. */
export interface LabRecord {
  name: string;
  /** Third octet of its addresses, 10.99.<index>.0/24, and number of its link on the host; unique on this machine. */
  index: number;
  /** Number of nodes in addition to the control plane. */
  nodes: number;
  /** Back end of kube-proxy and Flannel. @default iptables */
  packetFilter?: PacketFilter;
  /** Process that created the lab; set for labs that are removed after that process (tests, demo). */
  owner?: { pid: number; startTicks: string };
}

/** Networks of the Kubernetes cluster. They are inside the lab's own namespaces, so all labs use the same ranges. */
export const podCidr = '10.244.0.0/16';
export const serviceCidr = '10.96.0.0/16';
export const dnsAddress = '10.96.0.10';
const apiServiceAddress = '10.96.0.1';

/** Paths and addresses that follow from a lab's record. */
export class LabLayout {
  readonly record: LabRecord;
  readonly dir: string;

  constructor(record: LabRecord) {
    this.record = record;
    this.dir = labDir(record.name);
  }

  /** Back end of kube-proxy and Flannel. */
  get packetFilter(): PacketFilter {
    return this.record.packetFilter ?? 'iptables';
  }
  get pki(): string {
    return path.join(this.dir, 'pki');
  }
  /** Kubeconfig of an administrator; its context is {@link context}. */
  get kubeconfig(): string {
    return path.join(this.dir, 'kubeconfig');
  }
  /** Data and logs of processes that run on the host outside the machines: Temporal, workers. */
  get processesDir(): string {
    return path.join(this.dir, 'processes');
  }
  get context(): string {
    return `lab-${this.record.name}`;
  }
  get switchNetns(): string {
    return `cni-lab-${this.record.name}-switch`;
  }
  /** The lab's only link on the host. */
  get hostLink(): string {
    return `cni-lab${this.record.index}`;
  }
  /** Address of the host on the lab's network, and the machines' default gateway. */
  get hostAddress(): string {
    return this.address(254);
  }
  get controlPlaneAddress(): string {
    return this.address(1);
  }
  get apiServer(): string {
    return `https://${this.controlPlaneAddress}:6443`;
  }
  get apiServerNames(): string[] {
    const names = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'localhost'].map(
      (name) => `DNS:${name}`
    );
    return [...names, ...[this.controlPlaneAddress, apiServiceAddress, '127.0.0.1'].map((address) => `IP:${address}`)];
  }
  get nodeNames(): string[] {
    return Array.from({ length: this.record.nodes }, (_, index) => `node${index + 1}`);
  }
  /** All machines: control plane first. */
  get machineNames(): string[] {
    return [controlPlane, ...this.nodeNames];
  }
  machineDir(name: string): string {
    return path.join(this.dir, 'machines', name);
  }
  /** File that holds a node's kubelet back: it starts when the file is gone. */
  kubeletHoldFile(name: string): string {
    return path.join(this.machineDir(name), 'hold-kubelet');
  }
  nodeAddress(name: string): string {
    return this.address(10 + Number(name.replace('node', '')));
  }
  private address(host: number): string {
    return `10.99.${this.record.index}.${host}`;
  }
}

/** Name of the control plane's machine. */
export const controlPlane = 'control-plane';

/** Returns the folder of a lab by name. */
export function labDir(name: string): string {
  return path.join(labsDir, name);
}
