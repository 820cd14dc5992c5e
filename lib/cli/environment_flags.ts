import { Command, type Option } from "commander";

const OFF = /^(0|false|no|off)?$/i;

/**
 * A command whose flags may also be given by variables: --max-batch by EVA_CLIP_MAX_BATCH. An empty variable counts as
 * unset, and so does one that turns a flag without a value off.
 */
export class EnvironmentCommand extends Command {
  override addOption(option: Option): this {
    const name = `EVA_CLIP_${option.long!.slice(2).replaceAll("-", "_").toUpperCase()}`;
    const value = process.env[name];
    const takesValue = option.required || option.optional;
    const isUnset = value !== undefined && (takesValue ? value === "" : OFF.test(value));
    return super.addOption(isUnset ? option : option.env(name));
  }
}
