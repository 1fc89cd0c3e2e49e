/**
 * The layers of the code, from the bottom up. A file imports from its own layer and from layers below it, never from one
 * above, and never from another layer of the same level. Every layer has its level, so no two folders import each other.
 */
export const levels = [
  { model: '^model/[^/]+$' },
  { 'model/markdown': '^model/markdown/' },
  { temporal: '^temporal/[^/]+$', 'activities/support': '^activities/support/' },
  { 'temporal/codec-server': '^temporal/codec-server/', 'activities/kubernetes': '^activities/kubernetes/' },
  {
    'activities/canal': '^activities/canal/',
    'activities/node': '^activities/node/',
    'activities/policy/evaluation': '^activities/policy/evaluation/',
  },
  { 'activities/policy': '^activities/policy/[^/]+$', 'activities/cilium': '^activities/cilium/' },
  { 'activities/helpers': '^activities/helpers/' },
  {
    'activities/host': '^activities/host/',
    'activities/helm': '^activities/helm/',
    'activities/probe': '^activities/probe/',
    'activities/cluster': '^activities/cluster/',
    'activities/permissions': '^activities/permissions[.]ts$',
  },
  { 'activities/plan': '^activities/plan/' },
  { 'activities/preflight': '^activities/preflight/[^/]+$|^activities/preflight/checks/' },
  { activities: '^activities/index[.]ts$' },
  { 'workflows contract': '^workflows/(?!index[.]ts$)[^/]+$' },
  { 'workflows/support': '^workflows/support/' },
  { 'workflows/node': '^workflows/node/' },
  { 'workflows/cluster': '^workflows/cluster/' },
  { 'workflows/fleet': '^workflows/fleet/' },
  { workflows: '^workflows/index[.]ts$' },
  { client: '^client/[^/]+$', worker: '^worker/' },
  { 'client/report': '^client/report/' },
  { 'client/cli': '^client/cli/' },
  { deploy: '^deploy/', docs: '^docs/' },
  { lab: '^lab/', scripts: '^scripts/' },
  { test: '^test/' },
];
const layers = levels.flatMap((level) => Object.values(level));

/** What each layer must not import: the layers above it, and the other layers of its level. */
const layerRules = levels.flatMap((level, index) =>
  Object.entries(level).map(([name, path]) => {
    const above = levels.slice(index + 1).flatMap((other) => Object.values(other));
    const sameLevel = Object.values(level).filter((other) => other !== path);
    return {
      name: `layer-${name}`,
      comment: `${name} imports only from layers below it: see the levels in .dependency-cruiser.mjs.`,
      severity: 'error',
      from: { path },
      to: { path: [...above, ...sameLevel] },
    };
  })
);

/** Packages that a folder may import, in addition to the project's own files. */
const onlyPackages = (name, path, packages, comment) => ({
  name: `packages-of-${name}`,
  comment,
  severity: 'error',
  from: { path },
  to: { dependencyTypes: ['npm', 'npm-dev', 'npm-optional', 'core'], pathNot: packages.map((one) => `/${one}/`) },
});

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'no-cycle',
      comment: 'Files that import each other, types included, cannot be understood or tested one by one.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    ...layerRules.filter(({ to }) => to.path.length > 0),
    {
      name: 'known-layer',
      comment: 'Every file belongs to a layer: add its folder to the levels in .dependency-cruiser.mjs.',
      severity: 'error',
      from: { path: '[.]ts$', pathNot: layers },
      to: {},
    },
    {
      name: 'resolvable',
      comment: 'The imported file or package does not exist.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'workflows-import-types-of-activities',
      comment: 'Workflows call activities through Temporal: their code must not be part of the workflow bundle.',
      severity: 'error',
      from: { path: '^workflows/' },
      to: { path: '^activities/', dependencyTypesNot: ['type-only'] },
    },
    onlyPackages(
      'model',
      '^model/',
      ['zod', 'ipaddr[.]js', '@noble/hashes', '@temporalio/common'],
      'The model is pure: no client, no Node.js module. Workflows run it, and replay it.'
    ),
    onlyPackages(
      'workflows',
      '^workflows/',
      ['@temporalio/workflow', '@temporalio/common'],
      'Workflows must give the same result when they are replayed: no client, no Node.js module.'
    ),
    {
      name: 'codec-server-loads-no-kubernetes-client',
      comment: 'The codec server holds the keys. It loads no more code than it needs.',
      severity: 'error',
      from: { path: '^temporal/' },
      to: { path: '/(@kubernetes/client-node|undici|@temporalio/(worker|workflow|activity))/', reachable: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)(node_modules/[.]|coverage/)' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
