/** Packages in node_modules that are ES modules only: Jest has to compile them. */
const esModules = [
  '@kubernetes/client-node',
  '@noble/hashes',
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
  globalTeardown: '<rootDir>/test/setup/remove-bundles.ts',
};

/** @param {'short' | 'long'} limit which time limit a test has, by its name in test/setup. */
const project = (name, limit, more = {}) => ({
  globalSetup: '<rootDir>/test/setup/time-factor.ts',
  ...more,
  displayName: name,
  testMatch: [`<rootDir>/test/${name}/**/*.test.ts`],
  testEnvironment: '<rootDir>/test/setup/environment.ts',
  setupFilesAfterEnv: [`<rootDir>/test/setup/${limit}.ts`],
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
  projects: [
    project('unit', 'short'),
    project('workflow', 'short', bundles),
    project('api', 'long', bundles),
    project('lab', 'long'),
  ],
};
