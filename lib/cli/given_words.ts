// What holds for the words of every command, whatever its flags are.
import type { Command } from "commander";

/** The words that may be flags: those behind `--` are arguments. */
function beforeArguments(words: readonly string[]): readonly string[] {
  const end = words.indexOf("--");
  return end < 0 ? words : words.slice(0, end);
}

export function asksForJson(words: readonly string[]): boolean {
  return beforeArguments(words).includes("--json");
}

/** Refuses a flag that is followed by another one, or by `--`, in the place of its value. */
export function expectValues(command: Command, words: readonly string[]): void {
  const known = command.createHelp().visibleOptions(command);
  const named = (word: string) => known.find(({ short, long }) => word === short || word === long);
  for (const [i, word] of beforeArguments(words).entries()) {
    const option = named(word);
    const next = words[i + 1];
    if (!option?.required || next === undefined) continue;
    if (next !== "--" && !named(next.split("=")[0]!)) continue;
    const advice = next === "--" ? "" : `: ${next} is a flag; as the value it is written ${word}=${next}`;
    const code = "commander.optionMissingArgument";
    command.error(`error: option '${option.flags}' argument missing${advice}`, { code });
  }
}

/** Refuses an empty value of a flag, and an empty argument: nothing is named by it. */
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

/** Refuses flags that would have no effect. */
export function refuseGiven(command: Command, attributes: readonly string[], reason: string): void {
  const lost = command.options.find((option) => {
    const name = option.attributeName();
    return attributes.includes(name) && command.getOptionValueSource(name) === "cli";
  });
  if (lost) command.error(`error: ${lost.long} ${reason}`, { code: "commander.conflictingOption" });
}
