/**
 * The layers of the code, from the bottom up. A file imports from its own layer and from layers below it, never from one
 * above and never from another layer of the same level. This list is total, so no two folders import each other.
 */
const levels = [
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
  { 'activities/preflight': '^activities/preflight/' },
  { activities: '^activities/index[.]ts$' },
  { 'workflows/contract': '^workflows/(?!index[.]ts)[^/]+$' },
  { 'workflows/support': '^workflows/support/' },
  { 'workflows/node': '^workflows/node/' },
  { 'workflows/cluster': '^workflows/cluster/' },
  { 'workflows/fleet': '^workflows/fleet/' },
  { workflows: '^workflows/index[.]ts$' },
  { client: '^client/[^/]+$', worker: '^worker/' },
  { 'client/report': '^client/report/' },
  { 'client/cli': '^client/cli/' },
  { deploy: '^deploy/', docs: '^docs/' },
  { lab: '^lab/' },
  { test: '^test/' },
];

/** The layers that a layer must not import: those above it, and those beside it. */
const layerRules = levels.flatMap((level, index) =>
  Object.entries(level).map(([name, path]) => {
    const above = levels.slice(index + 1).flatMap((other) => Object.values(other));
    const beside = Object.values(level).filter((other) => other !== path);
    return {
      name: `layer ${name}`,
      comment: `${name} imports only what is below it; see the levels in .dependency-cruiser.mjs.`,
      severity: 'error',
      from: { path },
      to: { path: [...above, ...beside] },
    };
  })
);

/** Code that is no part of the project's own folders. */
const external = { dependencyTypes: ['npm', 'npm-dev', 'npm-optional', 'core'] };

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
      comment: 'Every file belongs to a layer: add new folders to the levels in .dependency-cruiser.mjs.',
      severity: 'error',
      from: { path: '[.]ts$', pathNot: levels.flatMap((level) => Object.values(level)) },
      to: {},
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
  },
};
void external;
