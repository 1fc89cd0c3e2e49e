import { Command, CommanderError } from 'commander';
import { completionScript, shells, type Shell } from './completion.ts';
import { exitCodes } from './exit-codes.ts';
import { addFleetCommands, addMessageCommands } from './message-commands.ts';
import { addReadCommands, addReport } from './read-commands.ts';
import { addFleetStart, addStartCommands } from './start-commands.ts';

const program = new Command('cni-migrate')
  .description(
    'Migrates Kubernetes clusters from Canal to Cilium. Every command prints the equivalent command of the Temporal CLI.'
  )
  .exitOverride()
  .configureHelp({ showGlobalOptions: true })
  .addHelpText(
    'after',
    `\nExit codes: ${Object.entries(exitCodes)
      .map(([name, code]) => `${code} ${name}`)
      .join(', ')}.`
  );

addStartCommands(program);
const fleet = program.command('fleet').description('migrate many clusters');
addFleetStart(fleet);
addFleetCommands(fleet);
addReadCommands(program);
addMessageCommands(program);
addReport(program);

program
  .command('completion')
  .description('print a completion script for your shell')
  .addArgument(program.createArgument('<shell>', 'your shell').choices(shells))
  .action((shell: Shell) => {
    process.stdout.write(completionScript(program, shell));
  });

async function main(): Promise<void> {
  try {
    await program.parseAsync();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Commander has printed the message already; a request for help is not an error.
    process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  }
}

await main();
