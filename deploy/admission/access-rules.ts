import { clusterRoles, serviceAccounts, tierGetter } from '../../activities/canal/permissions.ts';
import { calicoGroup } from '../../activities/canal/export.ts';
import { policyGroup, policyResources } from '../../activities/canal/policy-definitions.ts';
import { ciliumGroup } from '../../activities/cilium/export.ts';
import { bridgeRole } from '../../activities/helpers/names.ts';
import { ciliumNamespace, ciliumSecretsNamespace, helperNamespace } from '../../activities/kubernetes/names.ts';
import { beginsWithOne, celList, ciliumPrefixes, commonVariables, writes, type AdmissionRules } from './rules.ts';

const rbacGroup = 'rbac.authorization.k8s.io';

/** Names of roles of the cluster that the worker writes. */
const isOwnClusterName = beginsWithOne('variables.name', [...ciliumPrefixes, bridgeRole]);

/** Groups whose objects decide what others may do. */
const accessGroups = [rbacGroup, 'admissionregistration.k8s.io', 'certificates.k8s.io', 'authentication.k8s.io'];

/** Verbs that give more than the role itself. */
const escalatingVerbs = ['*', 'escalate', 'bind', 'impersonate'];

/** Resources that give the permissions of other accounts, or of the nodes. */
const escalatingResources = [
  ...['*', '*/*', 'pods/*', 'pods/exec', 'pods/attach', 'pods/portforward', 'pods/proxy', 'pods/ephemeralcontainers'],
  ...['serviceaccounts/*', 'serviceaccounts/token', 'nodes/*', 'nodes/proxy', 'services/*', 'services/proxy'],
];

/** Resources that start pods: who may write them in every namespace has the permissions of every account. */
const workloads = [
  ...['pods', 'podtemplates', 'replicationcontrollers', 'daemonsets', 'deployments', 'statefulsets'],
  ...['replicasets', 'jobs', 'cronjobs'],
];

/** What the roles that the worker writes may contain. Only Cilium's operator reads Secrets of every namespace. */
export const roleRules: AdmissionRules = {
  subject: 'roles',
  matched: [{ apiGroups: [rbacGroup], resources: ['roles', 'clusterroles'], operations: writes }],
  variables: {
    ...commonVariables,
    isClusterRole: "variables.resource == 'clusterroles'",
    rules: "request.operation != 'DELETE' && has(object.rules) ? object.rules : []",
    resourceRules: 'variables.rules.filter(rule, has(rule.resources) && has(rule.apiGroups))',
    secretRules:
      "variables.resourceRules.filter(rule, '' in rule.apiGroups && rule.resources.exists(r, r == 'secrets' || r.startsWith('secrets/')))",
  },
  validations: [
    {
      expression:
        `!variables.isClusterRole || ${isOwnClusterName} || ` +
        `(request.operation == 'DELETE' && variables.name in ${celList(clusterRoles)})`,
      message: 'write the ClusterRole " + variables.name + ": only those of Cilium, of Canal and its own',
    },
    {
      expression:
        `variables.rules.all(rule, rule.verbs.all(verb, !(verb in ${celList(escalatingVerbs)}))) && ` +
        "variables.resourceRules.all(rule, !('*' in rule.apiGroups) && " +
        `rule.resources.all(r, !r.contains('*') && !(r in ${celList(escalatingResources)})) && ` +
        `rule.apiGroups.all(group, !(group in ${celList(accessGroups)}))) && ` +
        "variables.rules.all(rule, !has(rule.nonResourceURLs) || rule.nonResourceURLs.all(url, !url.contains('*'))) && " +
        "(request.operation == 'DELETE' || !has(object.aggregationRule))",
      message:
        'put a wildcard, or a permission that leads to others, such as escalate, bind, impersonate or pods/exec, into " + variables.location + "',
    },
    {
      expression:
        `variables.secretRules.size() == 0 || (variables.isClusterRole ? (variables.name == 'cilium-operator' && ` +
        "variables.secretRules.all(rule, rule.verbs.all(verb, verb in ['get', 'list', 'watch']))) : " +
        `variables.where in ${celList([ciliumNamespace, ciliumSecretsNamespace])})`,
      message: `grant access to Secrets outside of ${ciliumNamespace} and ${ciliumSecretsNamespace} in " + variables.location + "`,
    },
    {
      expression:
        '!variables.isClusterRole || variables.resourceRules.all(rule, !rule.resources.exists(r, r in ' +
        `${celList(workloads)}) || rule.verbs.all(verb, !(verb in ['create', 'update', 'patch'])))`,
      message: 'grant the creation of pods in every namespace in " + variables.location + "',
    },
  ],
};

const canalAccount = `s.kind == 'ServiceAccount' && has(s.namespace) && s.namespace != '${helperNamespace}' && s.name in ${celList(serviceAccounts)}`;

/** To which accounts the worker gives permissions: those of Cilium and of its helpers. */
export const bindingRules: AdmissionRules = {
  subject: 'bindings',
  matched: [{ apiGroups: [rbacGroup], resources: ['rolebindings', 'clusterrolebindings'], operations: writes }],
  variables: {
    ...commonVariables,
    subjects: 'has(variables.object.subjects) ? variables.object.subjects : []',
  },
  validations: [
    {
      expression:
        `variables.resource != 'clusterrolebindings' || ${isOwnClusterName} || (request.operation == 'DELETE' && ` +
        `(variables.name == '${tierGetter}' || (variables.subjects.size() > 0 && variables.subjects.all(s, ${canalAccount}))))`,
      message: 'write the ClusterRoleBinding " + variables.name + ": only those of Cilium, of Canal and its own',
    },
    {
      expression:
        "request.operation == 'DELETE' || variables.subjects.all(s, s.kind == 'ServiceAccount' && has(s.namespace) && " +
        `(s.namespace == '${helperNamespace}' || (s.namespace == '${ciliumNamespace}' && ` +
        `${beginsWithOne('s.name', ciliumPrefixes)})))`,
      message:
        'give permissions to accounts that are not those of Cilium or of its helpers in " + variables.location + "',
    },
  ],
};

/** Which definitions the worker removes: those of Calico, of Cilium, and those that came with Canal. */
export const definitionRules: AdmissionRules = {
  subject: 'definitions',
  matched: [{ apiGroups: ['apiextensions.k8s.io'], resources: ['customresourcedefinitions'], operations: writes }],
  variables: {
    ...commonVariables,
    removable:
      `oldObject.spec.group in ${celList([ciliumGroup, calicoGroup, 'projectcalico.org'])} || ` +
      `variables.name in ${celList(policyResources.map((resource) => `${resource}.${policyGroup}`))}`,
  },
  validations: [
    {
      expression: "request.operation == 'DELETE' && variables.removable",
      message: 'write the definition " + variables.name + ": it only deletes those of Calico and of Cilium',
    },
  ],
};
