/** One binary of a {@link GoSet}. */
interface GoBinary {
  /** File name of the result. */
  name: string;
  /** Import path of its main package; `.` for one in the set's own folder. */
  package: string;
  /**
   * Build tags in addition to the common ones.
   * @default none
   */
  tags?: readonly string[];
  /**
   * Further programs in the same binary, which selects the program by its own name: links next to the binary.
   * @default none
   */
  links?: readonly string[];
}

/** Binaries that come from one set of pinned Go modules: `go/<name>/go.mod`. */
export interface GoSet {
  name: string;
  binaries: readonly GoBinary[];
  /**
   * Linker flags in addition to `-s -w`.
   * @default none
   */
  ldflags?: string;
  /**
   * Module that is built from a copy, to which the set adds its own files: those in its folder `added`, at the same
   * paths.
   * @default none
   */
  extendedModule?: string;
  /**
   * Files and folders that are copied unchanged from a module of the set into the result's folder.
   * @default none
   */
  files?: readonly { module: string; from: string; to: string }[];
}

const kubernetesVersion = '1.36.3';
const versionPackage = 'k8s.io/component-base/version';
const cilium = 'github.com/cilium/cilium';
const calico = 'github.com/projectcalico/calico';
const cniPlugins = 'github.com/containernetworking/plugins/plugins';

/**
 * All programs that the lab builds with Go. A plain module build does not know the version that Kubernetes' own make
 * file stamps into it, and kubelet and API server compare versions: hence its linker flags.
 */
export const goSets: readonly GoSet[] = [
  {
    name: 'kubernetes',
    ldflags: `-X ${versionPackage}.gitVersion=v${kubernetesVersion} -X ${versionPackage}.gitMajor=1 -X ${versionPackage}.gitMinor=36`,
    binaries: [
      {
        name: 'kubernetes',
        package: '.',
        links: ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy'],
      },
      // A separate binary, because kubectl starts very often, and starts faster without the initialisation of the
      // others.
      { name: 'kubectl', package: 'k8s.io/kubernetes/cmd/kubectl' },
    ],
  },
  // Debian's is too old for current API servers, which answer lists of pods from their cache.
  { name: 'etcd', binaries: [{ name: 'etcd', package: 'go.etcd.io/etcd/server/v3' }] },
  {
    name: 'cilium',
    binaries: [
      { name: 'cilium-agent', package: '.', links: ['cilium-dbg'] },
      { name: 'cilium-operator', package: `${cilium}/operator`, tags: ['ipam_provider_operator'] },
      { name: 'cilium-cni', package: `${cilium}/plugins/cilium-cni` },
      { name: 'cilium-mount', package: `${cilium}/tools/mount` },
      { name: 'cilium-sysctlfix', package: `${cilium}/tools/sysctlfix` },
    ],
    files: [
      { module: cilium, from: 'install/kubernetes/cilium', to: 'chart' },
      { module: cilium, from: 'bpf', to: 'bpf' },
      { module: cilium, from: 'images/cilium/init-container.sh', to: 'scripts/init-container.sh' },
      { module: cilium, from: 'plugins/cilium-cni/install-plugin.sh', to: 'scripts/install-plugin.sh' },
      { module: cilium, from: 'plugins/cilium-cni/cni-uninstall.sh', to: 'scripts/cni-uninstall.sh' },
    ],
  },
  {
    name: 'calico',
    binaries: [
      { name: 'calico-node', package: `${calico}/node/cmd/calico-node` },
      { name: 'calico', package: `${calico}/cni-plugin/cmd/calico` },
      { name: 'calico-cni-install', package: `${calico}/cni-plugin/cmd/install` },
      { name: 'kube-controllers', package: `${calico}/kube-controllers/cmd/kube-controllers` },
      { name: 'check-status', package: `${calico}/kube-controllers/cmd/check-status` },
    ],
    files: [{ module: calico, from: 'manifests/canal.yaml', to: 'canal.yaml' }],
  },
  {
    name: 'temporal',
    binaries: [{ name: 'temporal', package: 'github.com/temporalio/cli/cmd/temporal' }],
  },
  {
    name: 'temporal-server',
    binaries: [
      { name: 'temporal-server', package: 'go.temporal.io/server/cmd/server' },
      { name: 'temporal-sql-tool', package: 'go.temporal.io/server/cmd/tools/sql' },
    ],
    files: [{ module: 'go.temporal.io/server', from: 'schema/postgresql/v12', to: 'schema' }],
  },
  { name: 'compose', binaries: [{ name: 'compose-check', package: '.' }] },
  { name: 'kwok', binaries: [{ name: 'kwok', package: 'sigs.k8s.io/kwok/cmd/kwok' }] },
  { name: 'helm', binaries: [{ name: 'helm', package: 'helm.sh/helm/v4/cmd/helm' }] },
  { name: 'coredns', binaries: [{ name: 'coredns', package: '.' }] },
  {
    name: 'flannel',
    // The UDP backend is written in C. Without a C compiler its functions are missing: `added` has versions that fail.
    extendedModule: 'github.com/flannel-io/flannel',
    binaries: [{ name: 'flanneld', package: 'github.com/flannel-io/flannel' }],
  },
  {
    name: 'containerd',
    binaries: [
      { name: 'containerd', package: '.', links: ['ctr'] },
      { name: 'containerd-shim-runc-v2', package: 'github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2' },
    ],
  },
  {
    name: 'cni-plugins',
    binaries: ['ipam/host-local', 'main/loopback', 'meta/portmap', 'meta/bandwidth', 'meta/tuning'].map((plugin) => ({
      name: plugin.split('/')[1] ?? plugin,
      package: `${cniPlugins}/${plugin}`,
    })),
  },
];

/** Returns the names of all programs of a set. */
export function listPrograms(set: GoSet): string[] {
  return set.binaries.flatMap(({ name, links = [] }) => [name, ...links]);
}
