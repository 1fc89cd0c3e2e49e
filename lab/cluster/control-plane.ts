import path from 'node:path';
import type { MachineSpec } from '../machine/machine.ts';
import { podCidr, serviceCidr, type LabLayout } from './layout.ts';

/** Flags of the control plane's programs, by program. */
export type ControlPlaneFlags = Readonly<Record<string, Readonly<Record<string, string>>>>;

/**
 * Returns the services of the control plane's machine: etcd and the three components of Kubernetes.
 * @param more additional flags; they override the usual ones.
 */
export function controlPlaneServices(layout: LabLayout, more: ControlPlaneFlags = {}): MachineSpec['services'] {
  const pki = (file: string): string => path.join(layout.pki, file);
  const kubeconfig = (user: string): string => pki(`${user}.kubeconfig`);
  const etcd = 'http://127.0.0.1:2379';
  const peer = 'http://127.0.0.1:2380';
  const programs: ControlPlaneFlags = {
    etcd: {
      'data-dir': '/var/lib/etcd',
      'listen-client-urls': etcd,
      'advertise-client-urls': etcd,
      'listen-peer-urls': peer,
      'initial-advertise-peer-urls': peer,
      'initial-cluster': `default=${peer}`,
    },
    'kube-apiserver': {
      'etcd-servers': etcd,
      'advertise-address': layout.controlPlaneAddress,
      'service-cluster-ip-range': serviceCidr,
      'tls-cert-file': pki('apiserver.crt'),
      'tls-private-key-file': pki('apiserver.key'),
      'client-ca-file': pki('ca.crt'),
      'kubelet-client-certificate': pki('kubelet-client.crt'),
      'kubelet-client-key': pki('kubelet-client.key'),
      // Node names do not resolve outside their machines; requests for logs and exec use the address instead.
      'kubelet-preferred-address-types': 'InternalIP',
      'service-account-issuer': 'https://kubernetes.default.svc',
      'service-account-key-file': pki('sa.pub'),
      'service-account-signing-key-file': pki('sa.key'),
      'authorization-mode': 'Node,RBAC',
      'enable-admission-plugins': 'NodeRestriction',
      'allow-privileged': 'true',
    },
    'kube-controller-manager': {
      ...loginFlags(kubeconfig('controller-manager')),
      'cluster-cidr': podCidr,
      'allocate-node-cidrs': 'true',
      'service-cluster-ip-range': serviceCidr,
      'service-account-private-key-file': pki('sa.key'),
      'root-ca-file': pki('ca.crt'),
      'use-service-account-credentials': 'true',
    },
    'kube-scheduler': loginFlags(kubeconfig('scheduler')),
  };
  return Object.fromEntries(
    Object.entries(programs).map(([program, flags]) => [program, command(program, { ...flags, ...more[program] })])
  );
}

function loginFlags(kubeconfig: string): Record<string, string> {
  return {
    kubeconfig,
    'authentication-kubeconfig': kubeconfig,
    'authorization-kubeconfig': kubeconfig,
    'leader-elect': 'false',
  };
}

/** Returns a shell line that replaces the shell with a program and its flags. */
export function command(program: string, flags: Readonly<Record<string, string>>): string {
  return ['exec', program, ...Object.entries(flags).map(([name, value]) => `--${name}='${value}'`)].join(' ');
}
