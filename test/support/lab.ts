import { randomBytes } from 'node:crypto';
import { labDown, labUp, type Lab, type UpOptions } from '../../lab/cluster/lab.ts';

/** Returns a name that no other run on this machine uses. */
export function uniqueLabName(prefix: string): string {
  return `${prefix}-${randomBytes(3).toString('hex')}`;
}

/**
 * Creates a lab for one test file, and removes it after its last test.
 * @returns the lab, which exists once the tests run.
 */
export function useLab(options: Omit<UpOptions, 'name' | 'ephemeral'>): () => Lab {
  const name = uniqueLabName('test');
  let lab: Lab | undefined;
  beforeAll(async () => {
    lab = await labUp({ ...options, name, ephemeral: true });
  });
  afterAll(() => labDown(name));
  return () => {
    if (lab === undefined) throw new Error('the lab is not up yet');
    return lab;
  };
}
