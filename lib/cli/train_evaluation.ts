import { type EvaClip, EvaClipError, evaluateRetrieval, evaluateZeroShot } from "../index";
import { createLoader, type Dataset } from "../data";
import type { TrainConfig } from "../train";
import { openClasses, openDataset } from "./open_dataset";
import { say } from "./output";
import type { TrainFlags } from "./train_command";

/** Samples looked at for one that evaluation can use. */
const MOST_LOOKED_AT = 100;

/** How long the run and its epochs are, in steps. */
export interface Length {
  readonly steps: number;
  readonly stepsPerEpoch: number;
}

/** Reads samples as the evaluation will, up to the first that it can use. @throws EvaClipError naming the flag. */
async function expectSample(
  flag: string,
  dataset: Dataset,
  imageSize: number,
  lack: string,
  isUsable: (sample: { captions: readonly string[]; label?: number }) => boolean,
): Promise<void> {
  const options = { batchSize: 1, imageSize, transform: "evaluation", shuffle: false, text: false } as const;
  try {
    await using loader = createLoader(dataset, { ...options, epochs: 1, concurrency: 1, prefetch: 0 });
    let looked = 0;
    for await (const { samples } of loader) {
      if (isUsable(samples[0]!)) return;
      if (++looked === MOST_LOOKED_AT) break;
    }
    throw new EvaClipError(
      "ERR_EVACLIP_DATA",
      looked === 0 ? "it holds no sample" : `none of its first ${looked} samples has ${lack}`,
    );
  } catch (error) {
    const { code = "ERR_EVACLIP_DATA", message, details } = error as Partial<EvaClipError>;
    throw new EvaClipError(code, `${flag} cannot be evaluated on: ${message}`, details, { cause: error });
  }
}

/** Names the flag in the error for a data set that cannot be opened. */
async function opened(flag: string, opening: Promise<Dataset>): Promise<Dataset> {
  return opening.catch((error: Partial<EvaClipError>) => {
    const { code = "ERR_EVACLIP_DATA", message, details } = error;
    throw new EvaClipError(code, `${flag} cannot be opened: ${message}`, details, { cause: error });
  });
}

async function openRetrieval(path: string, flags: TrainFlags, imageSize: number): Promise<Dataset> {
  const dataset = await opened("--val-data", openDataset(path, flags));
  await expectSample("--val-data", dataset, imageSize, "a caption", ({ captions }) =>
    captions.some((caption) => caption.trim() !== ""),
  );
  return dataset;
}

async function openZeroShot(path: string, imageSize: number): Promise<Dataset> {
  const dataset = await opened("--imagenet-val", openClasses(path));
  await expectSample("--imagenet-val", dataset, imageSize, "a class", ({ label }) => label !== undefined);
  return dataset;
}

/**
 * Evaluations by the names of their flags, each when its epochs are over and at the end of the run. One sample of each
 * data set is read at once, so that a wrong path does not end a run after its first epoch.
 */
export async function evaluationFrom(
  flags: TrainFlags,
  encoder: EvaClip,
  { steps, stepsPerEpoch }: Length,
): Promise<TrainConfig["evaluate"]> {
  const { valData, valFrequency, imagenetVal, zeroshotFrequency } = flags;
  if (valData === undefined && imagenetVal === undefined) return undefined;
  const retrieval =
    valData === undefined ? undefined : await openRetrieval(valData, flags, encoder.imageSize);
  const classes = imagenetVal === undefined ? undefined : await openZeroShot(imagenetVal, encoder.imageSize);
  return {
    every: stepsPerEpoch,
    run: async (step, signal) => {
      const isDue = (frequency: number) => step === steps || step % (frequency * stepsPerEpoch) === 0;
      const metrics: Record<string, number> = {};
      if (retrieval && isDue(valFrequency)) {
        const { imageToText, textToImage, protocol } = await evaluateRetrieval(encoder, retrieval, {
          signal,
        });
        for (const k of [1, 5, 10] as const) {
          metrics[`image_to_text_R@${k}`] = imageToText[`recallAt${k}`];
          metrics[`text_to_image_R@${k}`] = textToImage[`recallAt${k}`];
        }
        say(protocol);
      }
      if (classes && isDue(zeroshotFrequency)) {
        const { top1, top5, protocol } = await evaluateZeroShot(encoder, classes, { signal });
        Object.assign(metrics, { "zeroshot-top1": top1, "zeroshot-top5": top5 });
        say(protocol);
      }
      return metrics;
    },
  };
}
