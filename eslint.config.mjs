import { builtinModules } from 'node:module';
import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/** Folders with code that runs at users. */
const shipped = ['model', 'temporal', 'activities', 'workflows', 'client', 'worker', 'deploy'];

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
    files: ['workflows/**/*.ts', 'model/**/*.ts'],
    rules: {
      'no-console': 'error',
      'no-restricted-imports': [
        'error',
        {
          paths: nodeModules,
          patterns: [
            { group: ['@kubernetes/*', '@temporalio/client', '@temporalio/worker', '@temporalio/activity', 'undici'] },
            { group: ['**/activities/**'], allowTypeImports: true },
          ],
        },
      ],
    },
  },
  {
    // What is shipped. Which folder may import which: .dependency-cruiser.mjs.
    files: [`{${shipped.join(',')}}/**/*.ts`],
    rules: {
      // A switch counts as one decision: its cases are a table.
      complexity: ['error', { max: 12, variant: 'modified' }],
      'max-lines': ['error', 300],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
    },
  },
  {
    // A test that passes only when it is repeated is a failed test.
    files: ['test/**/*.ts'],
    rules: { 'no-restricted-properties': ['error', { object: 'jest', property: 'retryTimes' }] },
  },
  { files: ['**/*.mjs'], ...tseslint.configs.disableTypeChecked }
);
