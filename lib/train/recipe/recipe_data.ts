import type { Dataset, Json } from "../../data/dataset";
import { describeLeftOut } from "../../data/sources/image_files";
import { openDataset } from "../../data/sources/open_dataset";
import type { ClipModel } from "../../models/clip_model";
import { type BatchSource, batchesOf } from "../batch_source";
import type { RunSettings } from "../../weights/checkpoint/trainer_state";
import type { RecipeOptions } from "./recipe_options";
import { batchSizeOf } from "./run_length";

/** Skipped samples that are reported one by one; all are counted. */
const SHOWN_SKIPS = 10;

/** Opens the training data, and logs which entries of a folder are left out. */
export async function recipeDataset(options: RecipeOptions): Promise<Dataset> {
  const { trainData, dataset = {}, samplesPerEpoch, resampled, logger } = options;
  if (typeof trainData !== "string") return trainData;
  const shards = {
    ...dataset.webdataset,
    ...(samplesPerEpoch !== undefined && { samplesPerEpoch }),
    ...(resampled !== undefined && { resampled }),
  };
  const opened = await openDataset(trainData, { ...dataset, webdataset: shards });
  const leftOut = describeLeftOut(opened.leftOut ?? {});
  if (leftOut !== undefined) logger?.warn?.(`${trainData}: ${leftOut}`);
  return opened;
}

/** What is read as samples, and in which order; the loader's cursor compares the seed and the size. */
function dataSettings({ trainData, dataset = {}, resampled = false }: RecipeOptions): RunSettings {
  const { type = "auto", manifest = {}, webdataset = {} } = dataset;
  const named = (options: object, ...names: string[]): Json =>
    Object.fromEntries(names.map((name) => [name, (options as Record<string, Json>)[name] ?? null]));
  return {
    trainData: typeof trainData === "string" ? trainData : null,
    datasetType: type,
    resampled,
    manifest: named(manifest, "imageKey", "captionKey", "separator", "imageRoot"),
    webdataset: named(webdataset, "imageKey", "textKey", "jsonTextKey", "shuffleBuffer", "damagedShards"),
  };
}

/** The batches of a run; when it is resumed, what they are made of and the loss are compared. */
export function recipeBatches(dataset: Dataset, model: ClipModel, options: RecipeOptions): BatchSource {
  let skips = 0;
  const { seed = 0, loader, logger } = options;
  const source = batchesOf(dataset, {
    ...loader,
    batchSize: batchSizeOf(options),
    seed,
    imageSize: model.image.imageSize,
    preprocessing: model.preprocessing,
    contextLength: model.text.contextLength,
    onSkip: ({ message }) => {
      if (++skips <= SHOWN_SKIPS) logger?.warn?.(`skipped: ${message}`);
      if (skips === SHOWN_SKIPS) logger?.warn?.("further skipped samples are counted, not shown");
    },
  });
  return {
    ...source,
    describe: async () => ({
      ...(await source.describe?.()),
      ...dataSettings(options),
      loss: options.objective ? "a function" : (options.loss ?? "clip"),
    }),
  };
}
