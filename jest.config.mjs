/** What Jest has to compile although it lies in node_modules: packages that are ES modules only. */
const esModules = [
  '@kubernetes/client-node',
  'openid-client',
  'oauth4webapi',
  'jose',
  'js-yaml',
  'socks-proxy-agent',
  'agent-base',
  'commander',
  'p-queue',
  'p-timeout',
  'eventemitter3',
  'puppeteer-core',
  '@puppeteer/browsers',
];

const bundles = {
  globalSetup: '<rootDir>/test/setup/bundles.ts',
  globalTeardown: '<rootDir>/test/setup/no-bundles.ts',
};

const project = (name, timeoutSeconds, more = {}) => ({
  ...more,
  displayName: name,
  testMatch: [`<rootDir>/test/${name}/**/*.test.ts`],
  testEnvironment: 'node',
  setupFilesAfterEnv: [`<rootDir>/test/setup/${timeoutSeconds > 60 ? 'long' : 'short'}.ts`],
  transform: {
    '^.+\\.(ts|js|mjs)$': [
      '@swc/jest',
      { module: { type: 'commonjs' }, jsc: { target: 'es2023', parser: { syntax: 'typescript' } } },
    ],
  },
  transformIgnorePatterns: [`/node_modules/(?!(${esModules.join('|')})/)`],
});

export default {
  // With --coverage only.
  collectCoverageFrom: ['workflows/**/*.ts'],
  coverageReporters: ['text'],
  projects: [project('unit', 30), project('workflow', 60, bundles), project('api', 600, bundles), project('lab', 600)],
};
