import { builtinModules } from 'node:module';
import js from '@eslint/js';
import tseslint from 'typescript-eslint';

const nodeModules = builtinModules.flatMap((name) => [name, `node:${name}`]);

export default tseslint.config(
  { ignores: ['node_modules/', 'coverage/'] },
  js.configs.recommended,
  ...tseslint.configs.recommendedTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: { allowDefaultProject: ['*.mjs'] } } },
    rules: {
      // A promise that nobody waits for is an activity that nobody waits for.
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      // Environment variables are read by index so that a missing one is seen by the compiler.
      '@typescript-eslint/dot-notation': 'off',
      // Leaving a field out of a copy is a use of its name.
      '@typescript-eslint/no-unused-vars': ['error', { ignoreRestSiblings: true }],
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'max-depth': ['error', 3],
      'no-console': 'off',
      'object-shorthand': 'error',
    },
  },
  {
    // Workflows must give the same result when they are replayed: no clock but Temporal's, no input but its own.
    files: ['workflows/**/*.ts'],
    rules: {
      'no-console': 'error',
      'no-restricted-imports': [
        'error',
        {
          paths: nodeModules,
          patterns: [
            { group: ['@kubernetes/*', '@temporalio/client', '@temporalio/worker', '@temporalio/activity', 'undici'] },
            { group: ['**/activities/*', '**/worker/*', '**/client/*', '**/lab/*'], allowTypeImports: true },
          ],
        },
      ],
    },
  },
  {
    // What is shipped does not depend on the lab.
    files: ['activities/**/*.ts', 'worker/**/*.ts', 'client/**/*.ts'],
    rules: { 'no-restricted-imports': ['error', { patterns: [{ group: ['**/lab/*', '**/lab/**', '**/test/**'] }] }] },
  },
  {
    // A test that passes only when it is repeated is a failed test.
    files: ['test/**/*.ts'],
    rules: { 'no-restricted-properties': ['error', { object: 'jest', property: 'retryTimes' }] },
  },
  { files: ['**/*.mjs'], ...tseslint.configs.disableTypeChecked }
);
