import type { IConfiguration } from 'dependency-cruiser';

/** The layers of the code from the bottom up: on each level, names of layers and the patterns of their files. */
export const levels: readonly Readonly<Record<string, string>>[];

declare const configuration: IConfiguration;
export default configuration;
