import path from 'node:path';
import type { DataConverter } from '@temporalio/common';
import { EncryptionCodec } from './encryption.ts';
import type { EncryptionKeys } from './keys.ts';

/** Path of the module with the payload converter of clients and activities; workflows have one of their own. */
export const payloadConverterPath = path.join(import.meta.dirname, 'payload-converter.ts');

/** Path of the module with the failure converter for encrypted payloads. */
export const failureConverterPath = path.join(import.meta.dirname, 'failure-converter.ts');

/**
 * Returns the data converter of workers and clients.
 * @param keys encryption keys; when undefined, payloads are not encrypted.
 * @param options `checksBinding`: false to decrypt payloads of any workflow. @default true
 */
export function dataConverter(keys: EncryptionKeys | undefined, { checksBinding = true } = {}): DataConverter {
  return {
    payloadConverterPath,
    ...(keys && {
      payloadCodecs: [new EncryptionCodec(keys, { require: keys.require, checksBinding })],
      failureConverterPath,
    }),
  };
}
