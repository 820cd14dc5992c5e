import type { Command } from "commander";
import type { Precision } from "../models/precision";
import { addDeviceFlags, addPrecisionFlag, type DeviceFlags } from "./flags";
import { positive } from "./numbers";

/** Flags that say what a file of weights holds. */
export interface StatementFlags {
  config?: string;
  quickGelu?: boolean;
  ema?: boolean;
}

/** Flags of the commands that use a model. */
export interface ModelFlags extends DeviceFlags, StatementFlags {
  model?: string;
  precision: Precision;
}

export interface EncodeFlags extends ModelFlags {
  text: string[];
  batchSize: number;
}

export interface ClassifyFlags extends ModelFlags {
  labels: string[];
  labelsFile?: string;
  templates?: string;
  topK: number;
}

export function addStatementFlags(command: Command): Command {
  return command
    .option("--config <name|file>", "the model's configuration: a published name or a JSON file")
    .option("--quick-gelu", "the weights were trained with QuickGELU, where the file does not tell")
    .option("--no-quick-gelu", "they were trained with GELU")
    .option("--ema", "of a file that holds both, take the moving average of the weights")
    .option("--no-ema", "take the weights as they were trained");
}

/** A command that takes a model, as --model or as its first argument, and what `others` says. */
export function modelCommand(program: Command, name: string, description: string, others = ""): Command {
  const command = program
    .command(name)
    .description(description)
    .usage(`[options] <model>${others && ` ${others}`}`)
    .argument("[words...]", `the model, unless --model names it${others && `; then ${others}`}`)
    .option(
      "--model <path>",
      "a checkpoint's folder, a folder of checkpoints, or weights in any known layout",
    );
  return addPrecisionFlag(addDeviceFlags(addStatementFlags(command)));
}

export function addEncodeCommand(program: Command): void {
  modelCommand(program, "encode", "print the embeddings of images and captions", "[images...]")
    .option("--text <captions...>", "captions to encode", [])
    .option("--batch-size <n>", "samples encoded at a time", positive, 32)
    .action(async (words: string[], flags: EncodeFlags) => {
      const { encode } = require("./model_actions") as typeof import("./model_actions");
      await encode(words, flags);
    });
}

export function addClassifyCommand(program: Command): void {
  modelCommand(program, "classify", "find the labels that fit images best", "<images...>")
    .option("--labels <labels...>", "what to choose from", [])
    .option("--labels-file <file>", "labels to choose from, one a line")
    .option("--templates <name|file>", "prompts: openai, simple, or a file with one template a line")
    .option("--top-k <n>", "labels to print", positive, 5)
    .action(async (words: string[], flags: ClassifyFlags) => {
      const { classify } = require("./model_actions") as typeof import("./model_actions");
      await classify(words, flags);
    });
}
