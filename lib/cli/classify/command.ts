import type { Command } from "commander";
import { positive } from "../flag_values";
import { modelCommand } from "../model_flags";
import type { ClassifyFlags } from "./flags";

export function addClassifyCommand(program: Command): void {
  modelCommand(program, "classify", "find the labels that fit images best", "<images...>")
    .option("--labels <labels...>", "labels to choose from", [])
    .option("--labels-file <file>", "labels to choose from, one per line")
    .option("--templates <name|file>", "prompts: openai, simple, or a file with one template per line")
    .option("--top-k <n>", "number of labels to print", positive, 5)
    .action(async (words: string[], flags: ClassifyFlags) => {
      const { classify } = require("./action") as typeof import("./action");
      await classify(words, flags);
    });
}
