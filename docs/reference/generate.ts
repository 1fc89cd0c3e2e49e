import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { checks } from '../../activities/preflight/checks/index.ts';
import { checkNames } from '../../model/preflight.ts';
import { referenceSchemas } from './schemas.ts';

/** Returns the reference of the checks, generated from their descriptions. */
export function preflightReference(): string {
  const lines = [
    '# Preflight checks',
    '',
    'Generated from the checks by `npm run docs`. How to run them, and how to waive one:',
    '[Migrating a cluster](../migrating.md#checks).',
    '',
    '| check | ensures |',
    '|---|---|',
    ...checkNames.map((name) => `| [\`${name}\`](#${name}) | ${checks[name].ensures} |`),
  ];
  for (const name of checkNames) {
    const { ensures, verdicts, fix, rationale } = checks[name];
    lines.push(
      '',
      `## ${name}`,
      '',
      ensures,
      '',
      verdicts,
      '',
      `**Remedy:** ${fix}`,
      '',
      `**Rationale:** ${rationale}`
    );
  }
  return `${lines.join('\n')}\n`;
}

if (process.argv[1] === import.meta.filename) {
  await writeFile(path.join(import.meta.dirname, 'preflight.md'), preflightReference());
  for (const [file, schema] of Object.entries(referenceSchemas())) {
    await writeFile(path.join(import.meta.dirname, file), `${JSON.stringify(schema, null, 2)}\n`);
  }
}
