import type { Command } from "commander";
import { addDatasetFlags, type DatasetFlags } from "./flags";
import { positive } from "./numbers";
import { type ModelFlags, modelCommand } from "./model_commands";

export interface EvaluateFlags extends ModelFlags, DatasetFlags {
  valData?: string;
  imagenetVal?: string;
  classnames?: string;
  templates: string;
  batchSize: number;
}

export function addEvaluateCommand(program: Command): void {
  const command = modelCommand(program, "evaluate", "measure zero-shot classification and retrieval")
    .option("--val-data <path>", "images with captions, for retrieval in both directions")
    .option("--imagenet-val <folder>", "one folder of images a class, for zero-shot classification")
    .option("--classnames <file>", "names of the classes, one a line in the order of the folders")
    .option(
      "--templates <name|file>",
      "prompts: openai, simple, or a file with one template a line",
      "openai",
    )
    .option("--batch-size <n>", "images encoded at a time", positive, 32);
  addDatasetFlags(command).action(async (words: string[], flags: EvaluateFlags) => {
    const { evaluate } = require("./evaluate_action") as typeof import("./evaluate_action");
    await evaluate(words, flags);
  });
}
