import { createRequire } from 'node:module';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DefaultLogger, bundleWorkflowCode, type BundleOptions } from '@temporalio/worker';
import { failureConverterPath, payloadConverterPath } from '../temporal/data-converter.ts';

/** The module that holds every workflow: what a worker bundles. */
export const workflowsPath = path.resolve(import.meta.dirname, '..', 'workflows', 'index.ts');

/** What a bundle is made for. */
export interface BundleFeatures {
  /** Messages of failures are payloads, which codecs encrypt. */
  encrypted: boolean;
  /** Workflows take part in traces. */
  traced: boolean;
}

/** A bundle as most tests and labs want it. */
export const plain: BundleFeatures = { encrypted: false, traced: false };

/** What a worker, or whoever bundles for it, needs beside the workflows. */
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

/** Name of the prebuilt bundle for certain features. */
export function bundleFile({ encrypted, traced }: BundleFeatures): string {
  return ['workflows', ...(encrypted ? ['encrypted'] : []), ...(traced ? ['traced'] : [])].join('-') + '.js';
}

/**
 * Writes a bundle for each combination of features into a folder, for workers that shall start fast.
 * @param more changes what goes into each, as a test does. @default nothing
 */
export async function writeBundles(
  dir: string,
  features: readonly BundleFeatures[] = everyCombination,
  more: Partial<BundleOptions> = {}
): Promise<void> {
  await mkdir(dir, { recursive: true });
  const logger = new DefaultLogger('WARN');
  for (const one of features) {
    const { code } = await bundleWorkflowCode({ ...bundleOptions(one), ...more, logger });
    await writeFile(path.join(dir, bundleFile(one)), code);
  }
}

const everyCombination = [false, true].flatMap((encrypted) => [false, true].map((traced) => ({ encrypted, traced })));
