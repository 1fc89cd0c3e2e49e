import path from 'node:path';
import type { DataConverter } from '@temporalio/common';
import { EncryptionCodec } from './encryption.ts';
import type { EncryptionKeys } from './keys.ts';

/** The module with the payload converter, which workers, their bundles and clients load. */
export const payloadConverterPath = path.join(import.meta.dirname, 'payload-converter.ts');

/** The module with the failure converter of those that encrypt. */
export const failureConverterPath = path.join(import.meta.dirname, 'failure-converter.ts');

/** How payloads are written and read. @param keys that they are encrypted with; without, they are plain. */
export function dataConverter(keys: EncryptionKeys | undefined): DataConverter {
  return {
    payloadConverterPath,
    ...(keys && { payloadCodecs: [new EncryptionCodec(keys)], failureConverterPath }),
  };
}
