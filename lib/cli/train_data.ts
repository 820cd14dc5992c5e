import type { Dataset } from "../data";
import { type BatchSource, batchesOf, type ClipModel } from "../train";
import { say } from "./output";
import type { TrainFlags } from "./train_command";

/** Skipped samples that are told one by one; all are counted. */
const SHOWN_SKIPS = 10;

/** Flags that say what is read as samples, and in which order; the seed and the size are compared by the loader's cursor. */
const DATA_FLAGS = [
  "trainData",
  "datasetType",
  "datasetResampled",
  "damagedShards",
  "csvImgKey",
  "csvCaptionKey",
  "csvSeparator",
  "imageKey",
  "textKey",
  "jsonTextKey",
  "shuffleBuffer",
] as const satisfies (keyof TrainFlags)[];

/** The batches of a run; what they are made of is compared when it goes on. */
export function dataSource(dataset: Dataset, model: ClipModel, flags: TrainFlags): BatchSource {
  let skips = 0;
  const { batchSize, seed, workers, maxSkips, cropScale, textBucket } = flags;
  const source = batchesOf(dataset, {
    batchSize,
    seed,
    imageSize: model.image.imageSize,
    preprocessing: model.preprocessing,
    contextLength: model.text.contextLength,
    ...(workers !== undefined && { concurrency: workers }),
    ...(maxSkips !== undefined && { maxSkips }),
    ...(cropScale !== undefined && { cropScale }),
    ...(textBucket !== undefined && { textBucket }),
    onSkip: ({ message }) => {
      if (++skips <= SHOWN_SKIPS) say(`skipped: ${message}`);
      if (skips === SHOWN_SKIPS) say("more skipped samples are counted, not shown");
    },
  });
  const flagsOfData = Object.fromEntries(DATA_FLAGS.map((name) => [name, flags[name] ?? null]));
  return { ...source, describe: async () => ({ ...(await source.describe?.()), ...flagsOfData }) };
}
