import type { KubeconfigAllowance } from '../../model/allowances.ts';
import type { ApprovalMode } from '../../model/migration-approval.ts';

/** Location of a cluster's credentials: a context of a kubeconfig file. */
export interface KubeconfigContext {
  file: string;
  /** @default the file's current context */
  context?: string;
  /** True when the worker uses its own pod's identity, which is renewed in place; `file` is then for other programs. */
  inCluster?: boolean;
  /**
   * What this kubeconfig may do although it is unsafe.
   * @default nothing
   */
  allow?: readonly KubeconfigAllowance[];
  /**
   * What proves an approval in this cluster.
   * @default signal
   */
  approvals?: ApprovalMode;
  /**
   * Namespaces in which Canal may be installed, in addition to kube-system. Users who may create a DaemonSet in one of them
   * can mislead the migration.
   * @default none
   */
  canalNamespaces?: readonly string[];
}
