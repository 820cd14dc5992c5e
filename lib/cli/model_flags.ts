import type { Command } from "commander";
import type { Precision } from "../models/precision";
import { addDeviceFlags, addPrecisionFlag, type DeviceFlags } from "./device_flags";

/** Flags for which weights to use, and for properties that they do not state. */
export interface StatementFlags {
  pretrained?: string;
  preprocessing?: string;
  config?: string;
  quickGelu?: boolean;
  ema?: boolean;
}

/** Flags of the commands that use a model. */
export interface ModelFlags extends DeviceFlags, StatementFlags {
  model?: string;
  precision?: Precision;
}

export function addStatementFlags(command: Command): Command {
  return command
    .option("--config <name|file>", "the model's configuration: a published name or a JSON file")
    .option("--pretrained <tag>", "which of a published model's weights, by open_clip's tag (see models)")
    .option(
      "--preprocessing <clip|file>",
      "how images are prepared, if no file says: as for CLIP, or a JSON file with mean, std, interpolation, resize_mode",
    )
    .option("--quick-gelu", "the weights were trained with QuickGELU, if the file does not say")
    .option("--no-quick-gelu", "the weights were trained with GELU")
    .option("--ema", "of a file that contains both, use the moving average of the weights")
    .option("--no-ema", "of such a file, use the weights themselves");
}

/** A command that takes a model, with --model or as its first argument, and the arguments that `others` names. */
export function modelCommand(program: Command, name: string, description: string, others = ""): Command {
  return describeModelCommand(program.command(name), description, others);
}

/** Makes `command` one that takes a model. */
export function describeModelCommand(command: Command, description: string, others = ""): Command {
  command
    .description(description)
    .usage(`[options] <model>${others && ` ${others}`}`)
    .argument("[arguments...]", `the model, unless --model names it${others && `; then ${others}`}`)
    .option(
      "--model <path|name>",
      "a checkpoint's folder, a folder of checkpoints, weights in any known layout, a published model, or hf-hub:OWNER/NAME",
    );
  return addPrecisionFlag(addDeviceFlags(addStatementFlags(command)));
}
