import { spawn } from 'node:child_process';
import path from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { buildMachineCommand, rebootMachine } from './machine/machine.ts';
import { findLab, labDown, labUp, ready } from './cluster/lab.ts';
import { packetFilters, type PacketFilter } from './cluster/layout.ts';
import { listLabs } from './cluster/records.ts';
import { labMigrationRequest } from './migration-request.ts';
import type { Artefact } from './tools/artefact.ts';
import { buildMissing } from './tools/build.ts';
import { loadCatalogue } from './tools/catalogue.ts';
import { packBundle } from './tools/pack.ts';

const log = (line: string): void => console.error(line);

function parseWholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('must be a whole number');
  return Number(text);
}

async function selectTools({ tests }: { tests: boolean }): Promise<Artefact[]> {
  const { artefacts, testArtefacts } = await loadCatalogue();
  return [...new Set([...artefacts, ...(tests ? testArtefacts : [])])];
}

const program = new Command('lab').description(
  'A throwaway Kubernetes cluster on this machine, with Canal as its network.'
);

const withNameOption = (command: Command): Command => command.option('--name <name>', 'name of the lab', 'lab');

program
  .command('tools')
  .description('build the missing tools of the lab')
  .option('--tests', 'also build the additional tools of the tests', false)
  .action(async ({ tests }: { tests: boolean }) => {
    await buildMissing(await selectTools({ tests }), log, { removeGoCache: true });
    log('all tools are built');
  });

program
  .command('pack')
  .description('write a bundle of the built tools, which other machines can use instead of building them')
  .requiredOption('--out <folder>', 'folder of the bundle')
  .option('--tests', 'include the additional tools of the tests', false)
  .action(async ({ out, tests }: { out: string; tests: boolean }) => {
    const artefacts = await selectTools({ tests });
    await buildMissing(artefacts, log, { removeGoCache: true });
    const { archives, listSha256 } = await packBundle(artefacts, out, log);
    const bytes = archives.reduce((sum, { size }) => sum + size, 0);
    log(`${archives.length} archives, ${(bytes / 1e6).toFixed(0)} MB. To use them here or elsewhere:`);
    console.log(`export CNI_LAB_PREBUILT='${path.resolve(out)}' CNI_LAB_PREBUILT_SHA256=${listSha256}`);
  });

withNameOption(program.command('up'))
  .description('create a lab, or complete an existing one')
  .option('--nodes <count>', 'number of nodes in addition to the control plane', parseWholeNumber, 3)
  .option('--no-app', 'do not install the sample application')
  .addOption(
    new Option('--packet-filter <name>', 'back end of kube-proxy and Flannel (default: iptables)').choices(
      packetFilters
    )
  )
  .action(async (options: { name: string; nodes: number; app: boolean; packetFilter?: PacketFilter }) => {
    const { name, nodes, packetFilter } = options;
    const lab = await labUp({
      ...{ name, nodes, log },
      ...(options.app ? {} : { app: false }),
      ...(packetFilter && { packetFilter }),
    });
    log(
      `lab ${name} is up. To use it:\n  export KUBECONFIG=${lab.layout.kubeconfig}\n  ${lab.catalogue.bin('kubectl')} get pods -A -o wide`
    );
  });

withNameOption(program.command('down'))
  .description('remove a lab completely')
  .action(async ({ name }: { name: string }) => {
    await labDown(name);
    log(`lab ${name} is removed`);
  });

program
  .command('status')
  .description('list the labs and their nodes')
  .action(async () => {
    const records = await listLabs();
    if (records.length === 0) log('no labs exist');
    for (const { name } of records) {
      const lab = await findLab(name);
      const up = await ready(lab);
      console.log(
        `${name}: ${up ? 'up' : 'down (the API server does not answer)'}, ${lab.layout.apiServer}, kubeconfig ${lab.layout.kubeconfig}`
      );
      if (up) process.stdout.write(await lab.kubectl('get', 'nodes', '-o', 'wide'));
    }
  });

withNameOption(program.command('env'))
  .description('print the environment for a shell, with the tools of the lab: eval "$(npm run --silent lab -- env)"')
  .action(async ({ name }: { name: string }) => {
    const { layout, catalogue } = await findLab(name);
    const folders = ['kubectl', 'helm', 'temporal'].map((tool) => path.dirname(catalogue.bin(tool)));
    console.log(`export KUBECONFIG='${layout.kubeconfig}'\nexport PATH='${folders.join(':')}':"$PATH"`);
  });

withNameOption(program.command('request'))
  .description('print the input of a migration of a lab in which you approve each node')
  .action(async ({ name }: { name: string }) => {
    console.log(JSON.stringify(labMigrationRequest(await findLab(name), 'every-node')));
  });

withNameOption(program.command('kubeconfig'))
  .description("print the path of a lab's kubeconfig")
  .action(async ({ name }: { name: string }) => console.log((await findLab(name)).layout.kubeconfig));

const node = program.command('node').description('operate one node');
withNameOption(node.command('reboot'))
  .description('power-cycle a node without a graceful shutdown')
  .argument('<node>', 'name or number of the node')
  .action(async (machineName: string, { name }: { name: string }) => {
    await rebootMachine(await machineDir(name, machineName));
    log(`${machineName} is rebooting`);
  });

withNameOption(program.command('exec'))
  .description('run a command on a node: lab exec 1 -- ip route')
  .argument('<node>', 'name or number of the node, or "control-plane"')
  .argument('<command...>', 'command and arguments')
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
