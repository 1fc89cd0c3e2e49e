import { spawn } from 'node:child_process';
import path from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { buildMachineCommand, rebootMachine } from './machine/machine.ts';
import { findLab, labDown, labUp, listLabs, ready } from './cluster/lab.ts';
import { labMigrationRequest } from './migration-request.ts';
import type { Artefact } from './tools/artefact.ts';
import { buildMissing } from './tools/build.ts';
import { loadCatalogue } from './tools/catalogue.ts';
import { packBundle } from './tools/pack.ts';

const log = (line: string): void => console.error(line);

function parseWholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('a whole number is needed');
  return Number(text);
}

async function selectTools({ tests }: { tests: boolean }): Promise<Artefact[]> {
  const { artefacts, testArtefacts } = await loadCatalogue();
  return [...new Set([...artefacts, ...(tests ? testArtefacts : [])])];
}

const program = new Command('lab').description(
  'A throwaway Kubernetes cluster on this machine, with Canal as its network.'
);

const withNameOption = (command: Command): Command => command.option('--name <name>', 'which lab', 'lab');

program
  .command('tools')
  .description('build everything the lab is made of that is not built yet')
  .option('--tests', 'build what the tests need beside labs, too', false)
  .action(async ({ tests }: { tests: boolean }) => {
    await buildMissing(await selectTools({ tests }), log, { removeGoCache: true });
    log('all tools are built');
  });

program
  .command('pack')
  .description('write a bundle of what the lab is made of, from which other machines need not build it')
  .requiredOption('--out <folder>', 'where to')
  .option('--tests', 'with what the tests need beside labs, too', false)
  .action(async ({ out, tests }: { out: string; tests: boolean }) => {
    const artefacts = await selectTools({ tests });
    await buildMissing(artefacts, log, { removeGoCache: true });
    const { archives, listSha256 } = await packBundle(artefacts, out, log);
    const bytes = archives.reduce((sum, { size }) => sum + size, 0);
    log(`${archives.length} archives, ${(bytes / 1e6).toFixed(0)} MB. To use them here or elsewhere:`);
    console.log(`export CNI_LAB_PREBUILT='${path.resolve(out)}' CNI_LAB_PREBUILT_SHA256=${listSha256}`);
  });

withNameOption(program.command('up'))
  .description('make a lab, or complete one')
  .option('--nodes <count>', 'nodes beside the control plane', parseWholeNumber, 3)
  .option('--no-app', 'leave out the sample application')
  .action(async (options: { name: string; nodes: number; app: boolean }) => {
    const { name, nodes } = options;
    const lab = await labUp({ name, nodes, ...(options.app ? {} : { app: false }), log });
    log(
      `lab ${name} is up. To use it:\n  export KUBECONFIG=${lab.layout.kubeconfig}\n  ${lab.catalogue.bin('kubectl')} get pods -A -o wide`
    );
  });

withNameOption(program.command('down'))
  .description('remove a lab without trace')
  .action(async ({ name }: { name: string }) => {
    await labDown(name);
    log(`lab ${name} is gone`);
  });

program
  .command('status')
  .description('list the labs and their nodes')
  .action(async () => {
    const records = await listLabs();
    if (records.length === 0) log('no lab is up');
    for (const { name } of records) {
      const lab = await findLab(name);
      const up = await ready(lab);
      console.log(
        `${name}: ${up ? 'up' : 'its API server does not answer'}, ${lab.layout.apiServer}, kubeconfig ${lab.layout.kubeconfig}`
      );
      if (up) process.stdout.write(await lab.kubectl('get', 'nodes', '-o', 'wide'));
    }
  });

withNameOption(program.command('env'))
  .description('print what a shell needs to use a lab, its tools included: eval "$(npm run --silent lab -- env)"')
  .action(async ({ name }: { name: string }) => {
    const { layout, catalogue } = await findLab(name);
    const folders = ['kubectl', 'helm', 'temporal'].map((tool) => path.dirname(catalogue.bin(tool)));
    console.log(`export KUBECONFIG='${layout.kubeconfig}'\nexport PATH='${folders.join(':')}':"$PATH"`);
  });

withNameOption(program.command('request'))
  .description('print what a migration of a lab is started with, each of its nodes approved by you')
  .action(async ({ name }: { name: string }) => {
    console.log(JSON.stringify(labMigrationRequest(await findLab(name), 'every-node')));
  });

withNameOption(program.command('kubeconfig'))
  .description("print the path of a lab's kubeconfig")
  .action(async ({ name }: { name: string }) => console.log((await findLab(name)).layout.kubeconfig));

const node = program.command('node').description('act on one node');
withNameOption(node.command('reboot'))
  .description('take a node down hard; it boots again by itself')
  .argument('<node>', 'its name, or its number')
  .action(async (machineName: string, { name }: { name: string }) => {
    await rebootMachine(await machineDir(name, machineName));
    log(`${machineName} boots again`);
  });

withNameOption(program.command('exec'))
  .description('run a command on a node: lab exec 1 -- ip route')
  .argument('<node>', 'its name, or its number; "control-plane" for that machine')
  .argument('<command...>', 'what to run')
  .action(async (machineName: string, command: string[], { name }: { name: string }) => {
    const [file = '', ...args] = await buildMachineCommand(await machineDir(name, machineName), command);
    const child = spawn(file, args, { stdio: 'inherit' });
    child.once('exit', (code, signal) => (process.exitCode = code ?? (signal === null ? 1 : 128)));
  });

async function machineDir(name: string, machineName: string): Promise<string> {
  const { layout } = await findLab(name);
  const machine = /^\d+$/.test(machineName) ? `node${machineName}` : machineName;
  if (!layout.machineNames.includes(machine)) {
    throw new Error(`lab ${name} has no machine ${machine}; it has ${layout.machineNames.join(', ')}`);
  }
  return layout.machineDir(machine);
}

// A reader of the output, such as `head`, may close the pipe early.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

program.parseAsync().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
