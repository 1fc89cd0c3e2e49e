import { createRequire } from 'node:module';
import { access, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DefaultLogger, bundleWorkflowCode, type BundleOptions, type WorkerOptions } from '@temporalio/worker';
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
 * Returns the worker options for the workflows' code: the prebuilt bundle, or else the path of the workflows, which are
 * then bundled within some seconds.
 * @param bundles folder of prebuilt bundles; undefined without one.
 * @throws Error when the folder has no bundle for these features.
 */
export async function workflowCode(
  bundles: string | undefined,
  features: BundleFeatures
): Promise<Pick<WorkerOptions, 'workflowsPath' | 'workflowBundle'>> {
  // The tracing plugin adds its interceptors automatically.
  if (bundles === undefined) return { workflowsPath: bundleOptions(features).workflowsPath };
  const codePath = path.join(bundles, bundleFile(features));
  await access(codePath).catch((error: unknown) => {
    throw new Error(`there is no prebuilt bundle ${codePath}; create it with: npm run bundle -- ${bundles}`, {
      cause: error,
    });
  });
  return { workflowBundle: { codePath } };
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
