import { type Command, Option } from "commander";
import { addDatasetFlags } from "../dataset_flags";
import { outputPath, positive } from "../flag_values";
import { modelCommand } from "../model_flags";
import type { IndexFlags } from "./flags";

export function addIndexCommand(program: Command): void {
  const command = modelCommand(
    program,
    "index",
    "embed images into an index that can be searched, or update one",
    "<images>",
  )
    .requiredOption(
      "--out <file>",
      "the index: .safetensors, or .db for a database whose searches can be filtered",
      outputPath,
    )
    .addOption(
      new Option("--storage <type>", "how a .safetensors index stores vectors; 16 bits halve it")
        .choices(["f32", "f16", "bf16"])
        .default("f32"),
    )
    .option("--root <folder>", "folder that image paths are relative to (default: that of the images)")
    .option("--batch-size <n>", "images encoded at a time", positive, 32);
  addDatasetFlags(command)
    .addHelpText(
      "after",
      "\nThe images are a folder, a manifest or shards; captions are optional. The same command again embeds only images\n" +
        "that are new or have changed. A build that is split over processes (RANK and WORLD_SIZE, mpirun, srun) writes one\n" +
        "part per process, and the last one to finish joins them.",
    )
    .action(async (words: string[], flags: IndexFlags) => {
      const { index } = require("./action") as typeof import("./action");
      await index(words, flags);
    });
}
