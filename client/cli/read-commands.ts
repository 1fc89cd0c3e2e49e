import { writeFile } from 'node:fs/promises';
import { Option, type Command } from 'commander';
import { ledgerMarkdown } from '../../model/markdown/ledger.ts';
import { planMarkdown } from '../../model/markdown/plan.ts';
import { printableJson } from '../../model/printable.ts';
import { blockerText } from '../../model/status.ts';
import { migrationWorkflowId } from '../../workflows/messages.ts';
import { Migration } from '../migration.ts';
import { collectReport } from '../report/collect.ts';
import { htmlReport } from '../report/html.ts';
import { markdownReport } from '../report/markdown.ts';
import { addCommand } from './options.ts';
import { print, printJson, printStyled, run, targetWords, type CommonOptions, type ConnectedContext } from './run.ts';
import { statusText } from './text.ts';
import { answerCommands, follow } from './watch.ts';

/** Adds the commands that only read. */
export function addReadCommands(program: Command): void {
  addStatus(program);
  addQuery(
    program,
    'plan',
    'show the plan: waves with reasons, evicted pods, created objects',
    (migration) => migration.plan(),
    (plan) => (plan === undefined ? 'the plan is not computed yet' : planMarkdown(plan))
  );
  addQuery(program, 'ledger', 'show the measurements of all paths', (migration) => migration.ledger(), ledgerMarkdown);
  addQuery(
    program,
    'blockers',
    'show the pods that keep drains from finishing',
    (migration) => migration.blockers(),
    (blockers) => blockers.map((item) => `${item.node}: ${blockerText(item)}`).join('\n') || 'no blockers'
  );
}

function openMigration({ client, name, workflowId, timeoutMs }: ConnectedContext<CommonOptions>): Migration {
  return new Migration(client, name, { workflowId, timeoutMs });
}

function addStatus(program: Command): void {
  addCommand(program, 'status', 'show the phase, the nodes, and the commands that end the current wait')
    .option('--watch', 'print changes until the migration ends', false)
    .action(
      run<CommonOptions & { watch: boolean }>({
        workflowId: migrationWorkflowId,
        equivalent: ({ workflowId, temporal }) => temporal.query(workflowId, 'status'),
        work: async (context) => {
          const { watch, json: asJson } = context.options;
          const migration = openMigration(context);
          // Before a watch too: it reports when nothing can answer.
          const status = asJson && !watch ? await migration.completeStatus() : await migration.status();
          const target = targetWords(context);
          if (watch) return follow(migration, { print, asJson, target });
          if (asJson) return printJson(status);
          const ending = await migration.ending();
          printStyled(statusText(status, context.screen, { commands: answerCommands(status, target), ending }));
        },
      })
    );
}

/** Adds a command that sends a query to the migration. */
function addQuery<Answer>(
  program: Command,
  name: string,
  description: string,
  ask: (migration: Migration) => Promise<Answer>,
  format: (answer: Answer) => string
): void {
  addCommand(program, name, description).action(
    run<CommonOptions>({
      workflowId: migrationWorkflowId,
      equivalent: ({ workflowId, temporal }) => temporal.query(workflowId, name),
      work: async (context) => {
        const answer = await ask(openMigration(context));
        if (context.options.json) printJson(answer);
        else print(format(answer));
      },
    })
  );
}

/** Adds the command that writes a report. */
export function addReport(program: Command): void {
  addCommand(
    program,
    'report',
    'write a report on the latest migration: decisions, timeline, nodes, measurements, checks'
  )
    .addOption(new Option('--format <format>', 'format of the report').choices(['md', 'html', 'json']).default('md'))
    .option('--output <file>', 'file to write; standard output by default')
    .action(
      run<CommonOptions & { format: 'md' | 'html' | 'json'; output?: string }>({
        workflowId: migrationWorkflowId,
        equivalent: ({ workflowId, temporal }) => temporal.result(workflowId),
        work: async ({ client, workflowId, timeoutMs, options: { format, output, json: asJson } }) => {
          const data = await collectReport(client, workflowId, { timeoutMs });
          const renderers = {
            md: markdownReport,
            html: htmlReport,
            json: (all: object) => printableJson(all, 2),
          };
          const text = renderers[asJson ? 'json' : format](data);
          if (output === undefined) return print(text);
          await writeFile(output, text);
          print(`report written to ${output}`);
        },
      })
    );
}
