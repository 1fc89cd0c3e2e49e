import { findMissingCommands, findPackages, type Commands } from '../../lab/tools/commands.ts';

/** Commands that only tests call. Those of labs are checked when a lab is built or started. */
const commands: Commands = { bash: 'bash', git: 'git', mknod: 'coreutils', tar: 'tar' };

/** Reports what the tests need and this machine lacks, each with its remedy. */
const missing = await findMissingCommands(commands);
const packages = findPackages(commands, missing);
const problems = [
  ...(missing.length === 0 ? [] : [`the commands ${missing.join(', ')}: apt-get install ${packages.join(' ')}`]),
  ...((await findMissingCommands({ go: '' })).length === 0
    ? []
    : ['Go, for "go vet" and "go test": install it (https://go.dev/dl) and put it on PATH']),
  ...(process.getuid?.() === 0 ? [] : ['root, for network and mount namespaces: run the tests as root']),
];
for (const problem of problems) console.error(`the tests need ${problem}`);
process.exitCode = problems.length === 0 ? 0 : 1;
