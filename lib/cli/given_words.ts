// Rules for the command-line arguments ("words") of every command.
import type { Command } from "commander";

/** The words that may be flags: those after `--` are arguments. */
function beforeArguments(words: readonly string[]): readonly string[] {
  const end = words.indexOf("--");
  return end < 0 ? words : words.slice(0, end);
}

/** The words with each flag that has another name here under that name. */
export function withOurNames(
  words: readonly string[],
  aliases: Readonly<Record<string, string>>,
): readonly string[] {
  const flags = beforeArguments(words).map((word) => {
    const [name, ...value] = word.split("=");
    return Object.hasOwn(aliases, name!) ? [aliases[name!], ...value].join("=") : word;
  });
  return [...flags, ...words.slice(flags.length)];
}

/** Refuses a flag that means something else in other programs, and names ours. */
export function refuseAmbiguous(
  command: Command,
  words: readonly string[],
  ambiguous: Readonly<Record<string, string>>,
): void {
  const found = beforeArguments(words).map((word) => word.split("=")[0]!);
  const flag = found.find((name) => Object.hasOwn(ambiguous, name));
  if (flag === undefined) return;
  command.error(`error: ${flag} ${ambiguous[flag]}`, { code: "commander.unknownOption" });
}

export function asksForJson(words: readonly string[]): boolean {
  return beforeArguments(words).includes("--json");
}

/** Refuses a flag that is followed by another flag or by `--` instead of its value. */
export function expectValues(command: Command, words: readonly string[]): void {
  const known = command.createHelp().visibleOptions(command);
  const named = (word: string) => known.find(({ short, long }) => word === short || word === long);
  for (const [i, word] of beforeArguments(words).entries()) {
    const option = named(word);
    const next = words[i + 1];
    if (!option?.required || next === undefined) continue;
    if (next !== "--" && !named(next.split("=")[0]!)) continue;
    const advice = next === "--" ? "" : `: ${next} is a flag; to use it as the value, write ${word}=${next}`;
    const code = "commander.optionMissingArgument";
    command.error(`error: option '${option.flags}' argument missing${advice}`, { code });
  }
}

/** Refuses an empty value of a flag and an empty argument. */
export function refuseEmpty(command: Command): void {
  const code = "commander.invalidArgument";
  for (const option of command.options) {
    const value: unknown = command.getOptionValue(option.attributeName());
    if (value !== "" && !(Array.isArray(value) && value.includes(""))) continue;
    command.error(`error: option '${option.flags}' argument '' is invalid. It must not be empty.`, { code });
  }
  const place = command.args.indexOf("");
  if (place >= 0) command.error(`error: argument ${place + 1} must not be empty.`, { code });
}

/** Refuses those of some flags that were given on the command line. */
export function refuseGiven(command: Command, attributes: readonly string[], reason: string): void {
  const lost = command.options.find((option) => {
    const name = option.attributeName();
    return attributes.includes(name) && command.getOptionValueSource(name) === "cli";
  });
  if (lost) command.error(`error: ${lost.long} ${reason}`, { code: "commander.conflictingOption" });
}
