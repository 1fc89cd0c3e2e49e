import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { performanceText } from './performance-text.ts';

await writeFile(path.join(import.meta.dirname, '..', '..', 'docs', 'performance.md'), await performanceText());
