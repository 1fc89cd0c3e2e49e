import { createRequire } from 'node:module';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DefaultLogger, bundleWorkflowCode, type BundleOptions } from '@temporalio/worker';
import { failureConverterPath } from '../temporal/data-converter.ts';

/** Path of the module with all workflows, the entry point of the bundle. */
export const workflowsPath = workflowFile('index.ts');

function workflowFile(name: string): string {
  return path.resolve(import.meta.dirname, '..', 'workflows', name);
}

/** Features that a bundle is built for. */
export interface BundleFeatures {
  /** True when failure messages are payloads, which codecs encrypt. */
  encrypted: boolean;
  /** True when workflows take part in traces. */
  traced: boolean;
}

/** Features of the bundle that most tests and labs use. */
export const plain: BundleFeatures = { encrypted: false, traced: false };

/** Returns the options of a bundle for these features. Every bundle needs them: part of the workflows' rules is in them. */
export function bundleOptions({ encrypted, traced }: BundleFeatures): BundleOptions {
  const tracing = createRequire(import.meta.url).resolve(
    '@temporalio/interceptors-opentelemetry/lib/workflow-interceptors'
  );
  return {
    workflowsPath,
    payloadConverterPath: workflowFile('payload-converter.ts'),
    ...(encrypted && { failureConverterPath }),
    workflowInterceptorModules: [workflowFile('interceptors.ts'), ...(traced ? [tracing] : [])],
  };
}

/** Returns the file name of the prebuilt bundle for these features. */
export function bundleFile({ encrypted, traced }: BundleFeatures): string {
  return ['workflows', ...(encrypted ? ['encrypted'] : []), ...(traced ? ['traced'] : [])].join('-') + '.js';
}

/**
 * Writes a bundle for each combination of features into a folder, for workers that start quickly.
 * @param interceptors more modules with interceptors, for tests.
 * @default none
 */
export async function writeBundles(
  dir: string,
  features: readonly BundleFeatures[] = allCombinations,
  interceptors: readonly string[] = []
): Promise<void> {
  await mkdir(dir, { recursive: true });
  const logger = new DefaultLogger('WARN');
  for (const combination of features) {
    const { workflowInterceptorModules = [], ...options } = bundleOptions(combination);
    const modules = [...workflowInterceptorModules, ...interceptors];
    const { code } = await bundleWorkflowCode({ ...options, workflowInterceptorModules: modules, logger });
    await writeFile(path.join(dir, bundleFile(combination)), code);
  }
}

const allCombinations = [false, true].flatMap((encrypted) => [false, true].map((traced) => ({ encrypted, traced })));
