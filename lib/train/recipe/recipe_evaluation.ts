import type { EvaClip } from "../../clip/eva_clip";
import type { Dataset } from "../../data/dataset";
import { createLoader } from "../../data/loader/loader";
import { firstSamples } from "../../data/sources/first_samples";
import { openClassFolder } from "../../data/sources/image_folder";
import { describeLeftOut } from "../../data/sources/image_files";
import { openDataset } from "../../data/sources/open_dataset";
import { EvaClipError } from "../../errors";
import { evaluateRetrieval } from "../../eval/retrieval";
import { evaluateZeroShot } from "../../eval/zero_shot";
import type { TrainConfig } from "../train_config";
import type { RecipeOptions } from "./recipe_options";
import type { RunLength } from "./run_length";

/** Samples read in search of one that evaluation can use. */
const MOST_LOOKED_AT = 100;

type Metrics = Readonly<Record<string, number>>;

/** One kind of evaluation: its data, and how it is run. */
interface Task {
  readonly everyEpochs: number;
  run(signal: AbortSignal): Promise<Metrics>;
}

/** What a sample must have to be evaluated on. */
interface Need {
  readonly lack: string;
  isUsable(sample: { captions: readonly string[]; label?: number }): boolean;
}

const CAPTION: Need = {
  lack: "a caption",
  isUsable: ({ captions }) => captions.some((caption) => caption.trim() !== ""),
};
const CLASS: Need = { lack: "a class", isUsable: ({ label }) => label !== undefined };

/** Reads samples as the evaluation will, up to the first that it can use. @throws EvaClipError `ERR_EVACLIP_DATA` */
async function expectSample(dataset: Dataset, imageSize: number, { lack, isUsable }: Need): Promise<void> {
  const options = { batchSize: 1, imageSize, transform: "evaluation", shuffle: false, text: false } as const;
  await using loader = createLoader(dataset, { ...options, epochs: 1, concurrency: 1, prefetch: 0 });
  let looked = 0;
  for await (const { samples } of loader) {
    if (isUsable(samples[0]!)) return;
    if (++looked === MOST_LOOKED_AT) break;
  }
  const problem = looked === 0 ? "it has no sample" : `none of its first ${looked} samples has ${lack}`;
  throw new EvaClipError("ERR_EVACLIP_DATA", problem);
}

/** Names the option in an error of its data set. */
async function naming<T>(option: string, problem: string, work: Promise<T>): Promise<T> {
  return work.catch((error: Partial<EvaClipError>) => {
    const { code = "ERR_EVACLIP_DATA", message, details } = error;
    const named = `trainRecipe: options.evaluation.${option}.data ${problem}: ${message}`;
    throw new EvaClipError(code, named, details, { cause: error });
  });
}

/** Opens the data of an evaluation and reads one sample, so that a wrong path does not end a run after its first epoch. */
async function openData(
  option: "retrieval" | "zeroShot",
  options: RecipeOptions,
  imageSize: number,
): Promise<Dataset> {
  const { data, samples } = options.evaluation![option]!;
  const open = async (path: string): Promise<Dataset> => {
    const opened = await (option === "retrieval"
      ? openDataset(path, options.dataset)
      : openClassFolder(path));
    const leftOut = describeLeftOut(opened.leftOut ?? {});
    if (leftOut !== undefined) options.logger?.warn?.(`${path}: ${leftOut}`);
    return opened;
  };
  const dataset = typeof data === "string" ? await naming(option, "cannot be opened", open(data)) : data;
  const need = option === "retrieval" ? CAPTION : CLASS;
  await naming(option, "cannot be evaluated on", expectSample(dataset, imageSize, need));
  return samples === undefined ? dataset : firstSamples(dataset, samples);
}

async function retrievalTask(options: RecipeOptions, encoder: EvaClip): Promise<Task | undefined> {
  const { evaluation, logger } = options;
  if (!evaluation?.retrieval) return undefined;
  const dataset = await openData("retrieval", options, encoder.imageSize);
  return {
    everyEpochs: evaluation.retrieval.everyEpochs ?? 1,
    run: async (signal) => {
      const { imageToText, textToImage, protocol } = await evaluateRetrieval(encoder, dataset, { signal });
      logger?.info?.(protocol);
      const entries = ([1, 5, 10] as const).flatMap((k) => [
        [`image_to_text_R@${k}`, imageToText[`recallAt${k}`]] as const,
        [`text_to_image_R@${k}`, textToImage[`recallAt${k}`]] as const,
      ]);
      return Object.fromEntries(entries);
    },
  };
}

async function zeroShotTask(options: RecipeOptions, encoder: EvaClip): Promise<Task | undefined> {
  const { evaluation, logger } = options;
  if (!evaluation?.zeroShot) return undefined;
  const dataset = await openData("zeroShot", options, encoder.imageSize);
  return {
    everyEpochs: evaluation.zeroShot.everyEpochs ?? 1,
    run: async (signal) => {
      const { top1, top5, protocol } = await evaluateZeroShot(encoder, dataset, { signal });
      logger?.info?.(protocol);
      return { "zeroshot-top1": top1, "zeroshot-top5": top5 };
    },
  };
}

/** The evaluations during training, each after its epochs and at the end of the run. */
export async function recipeEvaluation(
  options: RecipeOptions,
  encoder: EvaClip,
  { steps, stepsPerEpoch }: RunLength,
): Promise<TrainConfig["evaluate"]> {
  const found = [await retrievalTask(options, encoder), await zeroShotTask(options, encoder)];
  const tasks = found.filter((task) => task !== undefined);
  if (tasks.length === 0) return undefined;
  return {
    every: stepsPerEpoch,
    run: async (step, signal) => {
      const metrics: Record<string, number> = {};
      for (const { everyEpochs, run } of tasks) {
        const isDue = step === steps || step % (everyEpochs * stepsPerEpoch) === 0;
        if (isDue) Object.assign(metrics, await run(signal));
      }
      return metrics;
    },
  };
}
