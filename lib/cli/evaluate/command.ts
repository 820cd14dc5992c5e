import type { Command } from "commander";
import { addDatasetFlags, FLAGS_OF_KIND } from "../dataset_flags";
import { refuseGiven } from "../given_words";
import { positive } from "../flag_values";
import { modelCommand } from "../model_flags";
import type { EvaluateFlags } from "./flags";

/** Refuses flags of an evaluation that was not requested, and flags of another type of data. */
async function refuseUseless(command: Command, flags: EvaluateFlags): Promise<void> {
  const { valData, imagenetVal } = flags;
  const { csv, webdataset } = FLAGS_OF_KIND;
  if (imagenetVal === undefined) {
    refuseGiven(command, ["classnames", "templates"], "is for --imagenet-val, which is not given");
  }
  if (valData === undefined) {
    refuseGiven(command, ["datasetType", ...csv, ...webdataset], "is for --val-data, which is not given");
    return;
  }
  const { datasetOptions } = require("../given_dataset") as typeof import("../given_dataset");
  const sources =
    require("../../data/sources/open_dataset") as typeof import("../../data/sources/open_dataset");
  const kind = await sources.datasetTypeOf(valData, datasetOptions(flags));
  if (kind !== "csv") refuseGiven(command, csv, `is for manifests, and ${valData} is not one`);
  if (kind !== "webdataset") refuseGiven(command, webdataset, `is for shards, but ${valData} is not`);
}

export function addEvaluateCommand(program: Command): void {
  const command = modelCommand(program, "evaluate", "measure zero-shot classification and retrieval")
    .option("--val-data <path>", "images with captions, for retrieval in both directions")
    .option("--imagenet-val <folder>", "one folder of images per class, for zero-shot classification")
    .option("--classnames <file>", "class names, one per line in the order of the folders")
    .option(
      "--templates <name|file>",
      "prompts: openai, simple, or a file with one template per line",
      "openai",
    )
    .option("--batch-size <n>", "images encoded at a time", positive, 32);
  addDatasetFlags(command).action(async (words: string[], flags: EvaluateFlags) => {
    await refuseUseless(command, flags);
    const { evaluate } = require("./action") as typeof import("./action");
    await evaluate(words, flags);
  });
}
