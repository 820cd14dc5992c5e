import type { Command } from "commander";
import { addDeviceFlags, addPrecisionFlag, type DeviceFlags, type Precision, positive } from "./flags";

/** Flags of the commands that use a model. */
export interface ModelFlags extends DeviceFlags {
  precision: Precision;
  config?: string;
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

/** A command that takes a model as its first argument. */
export function modelCommand(program: Command, name: string, description: string): Command {
  const command = program
    .command(name)
    .description(description)
    .argument("<model>", "a checkpoint's folder, a folder of checkpoints, or a .safetensors file")
    .option("--config <name|file>", "configuration of a bare weights file: a published name or a JSON file");
  return addPrecisionFlag(addDeviceFlags(command));
}

export function addEncodeCommand(program: Command): void {
  modelCommand(program, "encode", "print the embeddings of images and captions")
    .argument("[images...]", "image files")
    .option("--text <captions...>", "captions to encode", [])
    .option("--batch-size <n>", "samples encoded at a time", positive, 32)
    .action(async (model: string, images: string[], flags: EncodeFlags) => {
      const { encode } = require("./model_actions") as typeof import("./model_actions");
      await encode(model, images, flags);
    });
}

export function addClassifyCommand(program: Command): void {
  modelCommand(program, "classify", "find the labels that fit images best")
    .argument("<images...>", "image files")
    .option("--labels <labels...>", "what to choose from", [])
    .option("--labels-file <file>", "labels to choose from, one a line")
    .option("--templates <name|file>", "prompts: openai, simple, or a file with one template a line")
    .option("--top-k <n>", "labels to print", positive, 5)
    .action(async (model: string, images: string[], flags: ClassifyFlags) => {
      const { classify } = require("./model_actions") as typeof import("./model_actions");
      await classify(model, images, flags);
    });
}
