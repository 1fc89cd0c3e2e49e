import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DefaultLogger, bundleWorkflowCode } from '@temporalio/worker';
import { bundleFile, bundleOptions } from '../../worker/bundle.ts';

const interceptors = path.join(import.meta.dirname, 'impatient-workflows.ts');
const features = { encrypted: false, traced: false };

/** Bundles the workflows with impatient-workflows.ts, for a worker that is given the folder as CNI_MIGRATION_BUNDLES. */
export async function writeImpatientBundle(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  const { code } = await bundleWorkflowCode({
    ...bundleOptions(features),
    workflowInterceptorModules: [interceptors],
    logger: new DefaultLogger('WARN'),
  });
  await writeFile(path.join(dir, bundleFile(features)), code);
}
