import { createRequire } from 'node:module';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DefaultLogger, bundleWorkflowCode, type BundleOptions } from '@temporalio/worker';
import { failureConverterPath, payloadConverterPath } from '../temporal/data-converter.ts';

/** Path of the module with all workflows, the entry point of the bundle. */
export const workflowsPath = path.resolve(import.meta.dirname, '..', 'workflows', 'index.ts');

/** Features that a bundle is built for. */
export interface BundleFeatures {
  /** True when failure messages are payloads, which codecs encrypt. */
  encrypted: boolean;
  /** True when workflows take part in traces. */
  traced: boolean;
}

/** Features of the bundle that most tests and labs use. */
export const plain: BundleFeatures = { encrypted: false, traced: false };

/** Returns the bundler options that a worker needs in addition to the workflows, for these features. */
export function bundleOptions({ encrypted, traced }: BundleFeatures): BundleOptions {
  const tracing = createRequire(import.meta.url).resolve(
    '@temporalio/interceptors-opentelemetry/lib/workflow-interceptors'
  );
  return {
    workflowsPath,
    payloadConverterPath,
    ...(encrypted && { failureConverterPath }),
    ...(traced && { workflowInterceptorModules: [tracing] }),
  };
}

/** Returns the file name of the prebuilt bundle for these features. */
export function bundleFile({ encrypted, traced }: BundleFeatures): string {
  return ['workflows', ...(encrypted ? ['encrypted'] : []), ...(traced ? ['traced'] : [])].join('-') + '.js';
}

/**
 * Writes a bundle for each combination of features into a folder, for workers that start quickly.
 * @param overrides changes the options of each bundle, for tests.
 * @default no change
 */
export async function writeBundles(
  dir: string,
  features: readonly BundleFeatures[] = allCombinations,
  overrides: Partial<BundleOptions> = {}
): Promise<void> {
  await mkdir(dir, { recursive: true });
  const logger = new DefaultLogger('WARN');
  for (const combination of features) {
    const { code } = await bundleWorkflowCode({ ...bundleOptions(combination), ...overrides, logger });
    await writeFile(path.join(dir, bundleFile(combination)), code);
  }
}

const allCombinations = [false, true].flatMap((encrypted) => [false, true].map((traced) => ({ encrypted, traced })));
