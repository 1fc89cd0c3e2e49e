import { canalContainers } from '../../activities/canal/detect.ts';
import { serviceAccounts } from '../../activities/canal/permissions.ts';
import { controllers, manifest } from '../../activities/canal/removal.ts';
import { ciliumNamespace, ciliumSecretsNamespace, helperNamespace } from '../../activities/kubernetes/names.ts';
import { managedNamespaces } from '../../activities/permissions.ts';
import { beginsWithOne, celList, commonVariables, systemPrefixes, writes, type AdmissionRules } from './rules.ts';

/** Objects of Canal that the worker deletes by their names. */
const canalNames = [
  `configmaps ${manifest.configMap}`,
  `deployments ${controllers}`,
  `poddisruptionbudgets ${controllers}`,
  ...serviceAccounts.map((name) => `serviceaccounts ${name}`),
];

/** Types of Secrets in Cilium's chart. Others give access to accounts. */
const ciliumSecretTypes = ['Opaque', 'kubernetes.io/tls'];

/**
 * Where the worker writes objects, and with which names. Evictions, the status of pods, leases and Cilium's own kinds are
 * limited by the role alone: the worker needs them in every namespace, or in one only.
 */
export const objectRules: AdmissionRules = {
  subject: 'objects',
  matched: [
    {
      apiGroups: [''],
      resources: [
        ...['namespaces', 'pods', 'podtemplates', 'replicationcontrollers', 'services', 'endpoints', 'configmaps'],
        ...['secrets', 'serviceaccounts', 'persistentvolumeclaims', 'limitranges', 'resourcequotas'],
      ],
      operations: writes,
    },
    {
      apiGroups: ['apps', 'batch', 'policy', 'networking.k8s.io'],
      resources: ['*'],
      operations: writes,
    },
    { apiGroups: ['rbac.authorization.k8s.io'], resources: ['roles', 'rolebindings'], operations: writes },
  ],
  variables: {
    ...commonVariables,
    isPodDeletion: "variables.resource == 'pods' && request.operation == 'DELETE'",
    isTriedPod:
      "variables.resource == 'pods' && request.operation == 'CREATE' && has(request.dryRun) && request.dryRun",
    isCanalDaemonSet:
      "variables.resource == 'daemonsets' && request.operation != 'CREATE' && " +
      `${celList(canalContainers)}.all(name, oldObject.spec.template.spec.containers.exists(c, c.name == name))`,
    isCanal:
      "variables.canalMayBeHere && (variables.isCanalDaemonSet || (request.operation == 'DELETE' && " +
      `(variables.resource + ' ' + variables.name) in ${celList(canalNames)}))`,
    isHelmRelease:
      "variables.resource == 'secrets' && variables.object.type == 'helm.sh/release.v1' && " +
      "variables.name.startsWith('sh.helm.release.v1.cilium.v')",
    isCiliumSecret:
      `variables.resource == 'secrets' && variables.object.type in ${celList(ciliumSecretTypes)} && ` +
      beginsWithOne('variables.name', ['cilium-', 'hubble-', 'clustermesh-']),
  },
  validations: [
    {
      expression: `variables.resource != 'namespaces' || variables.name in ${celList(managedNamespaces)}`,
      message: `write the namespace " + variables.name + ": only ${managedNamespaces.join(' and ')}`,
    },
    {
      expression:
        `variables.where in ${celList(['', helperNamespace, ciliumNamespace])} || variables.isPodDeletion || ` +
        `variables.isCanal || (variables.where == '${ciliumSecretsNamespace}' && ` +
        "variables.resource in ['roles', 'rolebindings'])",
      message: `write " + variables.location + ": only objects in ${helperNamespace} and ${ciliumNamespace}`,
    },
    {
      expression:
        `variables.where != '${ciliumNamespace}' || variables.resource == 'secrets' || variables.isPodDeletion || ` +
        'variables.isTriedPod || variables.isCanal || ' +
        `(variables.resource != 'pods' && ${beginsWithOne('variables.name', systemPrefixes)})`,
      message: `write " + variables.location + ": in ${ciliumNamespace}, only objects of Cilium, of Canal and its own`,
    },
    {
      expression:
        `variables.resource != 'secrets' || (variables.where == '${ciliumNamespace}' && ` +
        '(variables.isHelmRelease || variables.isCiliumSecret))',
      message: `write " + variables.location + ": only Secrets of Cilium and of its Helm release in ${ciliumNamespace}`,
    },
  ],
};
