import type { Command } from 'commander';

/** Shells with completion. */
export const shells = ['bash', 'zsh', 'fish'] as const;

/** One of {@link shells}. */
export type Shell = (typeof shells)[number];

/** Returns a shell script that completes the commands and options of a program. */
export function completionScript(program: Command, shell: Shell): string {
  const name = program.name();
  const commands = program.commands.map((command) => ({
    name: command.name(),
    description: command.description(),
    subcommands: command.commands.map((subcommand) => subcommand.name()),
    options: [command, ...command.commands].flatMap(({ options }) => options.flatMap(({ long }) => long ?? [])),
  }));
  if (shell === 'fish') {
    return [
      `complete -c ${name} -f`,
      ...commands.flatMap(({ name: command, description, subcommands, options }) => [
        `complete -c ${name} -n __fish_use_subcommand -a ${command} -d '${description.replaceAll("'", "\\'")}'`,
        ...subcommands.map((word) => `complete -c ${name} -n '__fish_seen_subcommand_from ${command}' -a ${word}`),
        ...options.map(
          (option) => `complete -c ${name} -n '__fish_seen_subcommand_from ${command}' -l ${option.slice(2)}`
        ),
      ]),
      '',
    ].join('\n');
  }
  const cases = commands.map(
    ({ name: command, subcommands, options }) => `    ${command}) words="${[...subcommands, ...options].join(' ')}" ;;`
  );
  const script = [
    `_${name.replaceAll('-', '_')}() {`,
    '  local words',
    '  case "${COMP_WORDS[1]}" in',
    ...cases,
    `    *) words="${commands.map(({ name: command }) => command).join(' ')}" ;;`,
    '  esac',
    '  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))',
    '}',
    `complete -F _${name.replaceAll('-', '_')} ${name}`,
    '',
  ].join('\n');
  return shell === 'zsh' ? `autoload -U +X bashcompinit && bashcompinit\n${script}` : script;
}
