import type { Command } from "commander";

const OFF = /^(0|false|no|off)?$/i;

/**
 * Lets a variable give each flag of a command that the command line does not: EVA_CLIP_MAX_BATCH is --max-batch. An empty
 * variable counts as unset, and so does one that turns a flag without a value off.
 */
export function addEnvironment(command: Command): Command {
  for (const option of command.options) {
    const name = `EVA_CLIP_${option.long!.slice(2).replaceAll("-", "_").toUpperCase()}`;
    const value = process.env[name];
    const takesValue = option.required || option.optional;
    const isUnset = value !== undefined && (takesValue ? value === "" : OFF.test(value));
    if (!isUnset) option.env(name);
  }
  return command;
}
