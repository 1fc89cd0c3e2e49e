import { writeBundles } from './bundle.ts';

/** Builds the workflow bundles in advance: `npm run bundle -- FOLDER`. */
const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error('usage: npm run bundle -- FOLDER');
  process.exitCode = 2;
} else {
  await writeBundles(folder);
}
