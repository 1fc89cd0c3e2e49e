import { ciliumNamespace } from '../../activities/kubernetes/names.ts';
import { beginsWithOne, ciliumPrefixes, commonVariables, creations, type AdmissionRules } from './rules.ts';

/** Returns an expression for the specification of the pods that an object starts. */
function podSpec(object: string): string {
  return (
    `variables.resource == 'pods' ? ${object}.spec : (variables.resource == 'podtemplates' ? ${object}.template.spec : ` +
    `(variables.resource == 'cronjobs' ? ${object}.spec.jobTemplate.spec.template.spec : ${object}.spec.template.spec))`
  );
}

/** Returns an expression for the images of a specification, also of the volumes that are images. */
function images(spec: string): string {
  const ofContainers = (field: string): string =>
    `(has(${spec}.${field}) ? ${spec}.${field}.map(c, has(c.image) ? c.image : '') : [])`;
  return [
    ...['containers', 'initContainers', 'ephemeralContainers'].map(ofContainers),
    `(has(${spec}.volumes) ? ${spec}.volumes.filter(v, has(v.image)).map(v, ` +
      "has(v.image.reference) ? v.image.reference : '') : [])",
  ].join(' + ');
}

/**
 * Expression for an image that an entry of the list allows: a registry or repository with everything below it, or a whole
 * image. "host" and "host:5000" without "/" are registries, of which only what is below them is allowed. A digest
 * identifies the image, with any tag.
 */
const isAllowedBy =
  "image == entry || image.startsWith(entry + '/') || (entry.contains('/') && (image.startsWith(entry + '@') || " +
  "image.startsWith(entry + ':'))) || (entry.contains('@') && image.startsWith(entry.split('@')[0] + ':') && " +
  "image.endsWith('@' + entry.split('@')[1]))";

/** With which images and accounts the worker starts pods. */
export const workloadRules: AdmissionRules = {
  subject: 'workloads',
  matched: [
    { apiGroups: [''], resources: ['pods', 'podtemplates', 'replicationcontrollers'], operations: creations },
    { apiGroups: ['apps', 'batch'], resources: ['*'], operations: creations },
  ],
  variables: {
    ...commonVariables,
    podSpec: podSpec('object'),
    oldPodSpec: `request.operation == 'UPDATE' ? (${podSpec('oldObject')}) : variables.podSpec`,
    images: images('variables.podSpec'),
    // A change that keeps the image, such as that of Canal's node selector, starts nothing else than before.
    keptImages: `request.operation == 'UPDATE' ? (${images('variables.oldPodSpec')}) : []`,
    allowed:
      "has(params.data) && has(params.data.images) ? params.data.images.split('\\n').map(line, line.trim())" +
      ".filter(line, line != '' && !line.startsWith('#')) : []",
    refused:
      "variables.images.filter(image, !(image in variables.keptImages) && (image.contains('..') || " +
      `image.contains('//') || !variables.allowed.exists(entry, ${isAllowedBy})))`,
    account: "has(variables.podSpec.serviceAccountName) ? variables.podSpec.serviceAccountName : 'default'",
    keptAccount:
      "request.operation == 'UPDATE' && has(variables.oldPodSpec.serviceAccountName) ? " +
      "variables.oldPodSpec.serviceAccountName : 'default'",
  },
  validations: [
    {
      expression: 'variables.refused.size() == 0',
      message:
        'start " + variables.refused.join(", ") + " (" + variables.location + "): the ConfigMap of its images does not allow them',
    },
    {
      expression:
        `variables.where != '${ciliumNamespace}' || variables.account == 'default' || variables.account == variables.keptAccount || ` +
        beginsWithOne('variables.account', ciliumPrefixes),
      message: `start pods with the account " + variables.account + " of ${ciliumNamespace} (" + variables.location + ")`,
    },
  ],
  readsImages: true,
};
