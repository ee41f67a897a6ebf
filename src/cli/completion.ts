import { type Command, type CommandInput, type OptionRule, type Terminal, UsageError } from "./command.ts";

const shells = ["bash", "zsh", "fish"] as const;

/** `trunkline completion`; `commands` is asked when it runs, because it is one of them. */
export function completion(commands: () => readonly Command[]): Command {
  return {
    name: "completion",
    summary: "Print a completion script for a shell.",
    usage: "<bash|zsh|fish>",
    description: "The script completes commands, options and their values; files everywhere else.",
    options: {},
    examples: [
      'eval "$(trunkline completion bash)"      # in ~/.bashrc',
      'eval "$(trunkline completion zsh)"       # in ~/.zshrc, after compinit',
      "trunkline completion fish > ~/.config/fish/completions/trunkline.fish",
    ],
    run: async (input: CommandInput, terminal: Terminal) => {
      const [shell, ...more] = input.arguments;
      if (shell === undefined || more.length > 0) throw new UsageError("name one shell: bash, zsh or fish");
      switch (shell) {
        case "bash":
          return terminal.out(bash(commands()));
        case "zsh":
          return terminal.out(`autoload -U +X bashcompinit && bashcompinit\n${bash(commands())}`);
        case "fish":
          return terminal.out(fish(commands()));
        default:
          throw new UsageError(`there is no script for "${shell}"; the shells are ${shells.join(", ")}`);
      }
    },
  };
}

function bash(commands: readonly Command[]): string {
  const firstWords = [...new Set(commands.map(({ name }) => name.split(" ")[0] as string))];
  const families = firstWords.flatMap(word => {
    const seconds = secondWords(word, commands);
    return seconds.length === 0
      ? []
      : [
          `    ${word}) if ((COMP_CWORD == 2)); then COMPREPLY=($(compgen -W "${seconds.join(" ")} --help" -- "$word")); return; fi;;`,
        ];
  });
  const cases = commands.map(command => {
    const options = Object.keys(command.options).map(name => `--${name}`);
    const values = Object.entries(command.options).flatMap(([name, { choices }]) =>
      choices === undefined
        ? []
        : [`      --${name}) COMPREPLY=($(compgen -W "${choices.join(" ")}" -- "$word")); return;;`],
    );
    const subjects = command.name === "completion" ? `-W "${shells.join(" ")}"` : "-f";
    return [
      `    ${command.name.includes(" ") ? `"${command.name}"` : `${command.name}\\ *`})`,
      ...(values.length === 0 ? [] : ['      case "$before" in', ...values, "      esac"]),
      `      if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "${[...options, "--help"].join(" ")}" -- "$word"))`,
      `      else COMPREPLY=($(compgen ${subjects} -- "$word")); fi;;`,
    ].join("\n");
  });
  return `_trunkline() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then COMPREPLY=($(compgen -W "${firstWords.join(" ")} --help --version" -- "$word")); return; fi
  case "\${COMP_WORDS[1]}" in
${families.join("\n")}
  esac
  case "\${COMP_WORDS[1]} \${COMP_WORDS[2]}" in
${cases.join("\n")}
  esac
}
complete -o filenames -F _trunkline trunkline
`;
}

/** Of the commands of a family: what comes behind its name. */
function secondWords(family: string, commands: readonly Command[]): readonly string[] {
  return commands
    .map(({ name }) => name.split(" "))
    .flatMap(([first, second]) => (first === family && second !== undefined ? [second] : []));
}

function fish(commands: readonly Command[]): string {
  const quoted = (text: string) => `'${text.replace(/[\\']/g, "\\$&")}'`;
  const lines = ["complete -c trunkline -n __fish_use_subcommand -l help -l version"];
  const families = new Set<string>();
  for (const { name, summary, options } of commands) {
    const [first = name, second] = name.split(" ");
    if (second === undefined) {
      lines.push(`complete -c trunkline -f -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`);
    } else {
      const seconds = secondWords(first, commands);
      if (!families.has(first)) {
        lines.push(`complete -c trunkline -f -n __fish_use_subcommand -a ${first} -d ${quoted(seconds.join(", "))}`);
      }
      families.add(first);
      const none = `__fish_seen_subcommand_from ${first}; and not __fish_seen_subcommand_from ${seconds.join(" ")}`;
      lines.push(`complete -c trunkline -f -n '${none}' -a ${second} -d ${quoted(summary)}`);
    }
    const seen = name.split(" ").map(word => `__fish_seen_subcommand_from ${word}`);
    const here = `complete -c trunkline -n '${seen.join("; and ")}'`;
    for (const [option, rule] of Object.entries(options)) {
      lines.push(`${here} -l ${option}${fishValue(rule)} -d ${quoted(rule.help)}`);
    }
    if (name === "completion") lines.push(`${here} -f -a '${shells.join(" ")}'`);
  }
  return `${lines.join("\n")}\n`;
}

function fishValue({ short, value, choices }: OptionRule): string {
  const letter = short === undefined ? "" : ` -s ${short}`;
  if (value === undefined) return letter;
  return choices === undefined ? `${letter} -r` : `${letter} -x -a '${choices.join(" ")}'`;
}
