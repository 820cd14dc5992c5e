import { EvaClipError } from "../../errors";
import type { RecipeOptions } from "../../train/recipe/recipe_options";
import { downloadProgress } from "../download_progress";
import type { Pretrained, PretrainedWeights } from "../../weights/pretrained";
import { configFrom } from "../config_source";
import { withoutUndefined } from "../flag_values";
import { datasetOptions } from "../given_dataset";
import { say } from "../output";
import type { TrainFlags } from "./flags";

/** The options of `trainRecipe` from the flags; a dot separates nested fields. */
const OPTION_OF = {
  forceImageSize: "imageSize",
  forceContextLength: "contextLength",
  imageMean: "preprocessing.mean",
  imageStd: "preprocessing.std",
  imageInterpolation: "preprocessing.interpolation",
  imageResizeMode: "preprocessing.resize_mode",
  init: "init",
  precision: "precision",
  trainData: "trainData",
  trainNumSamples: "samplesPerEpoch",
  datasetResampled: "resampled",
  decodeConcurrency: "loader.concurrency",
  maxSkips: "loader.maxSkips",
  cropScale: "loader.cropScale",
  textBucket: "loader.textBucket",
  batchSize: "batchSize",
  epochs: "epochs",
  steps: "steps",
  opt: "optimizer",
  lambVariant: "lambVariant",
  lr: "learningRate",
  imageLr: "imageTower.learningRate",
  textLr: "textTower.learningRate",
  wd: "weightDecay",
  imageWd: "imageTower.weightDecay",
  textWd: "textTower.weightDecay",
  layerDecay: "layerDecay",
  imageLayerDecay: "imageTower.layerDecay",
  textLayerDecay: "textTower.layerDecay",
  beta1: "beta1",
  beta2: "beta2",
  eps: "eps",
  gradClipNorm: "clipNorm",
  lrScheduler: "schedule.kind",
  warmup: "schedule.warmupSteps",
  epochsCooldown: "schedule.cooldownEpochs",
  forcePatchDropout: "patchDropout.rate",
  undroppedEnd: "patchDropout.undroppedEnd",
  gradCheckpointing: "gradCheckpointing",
  seed: "seed",
  valData: "evaluation.retrieval.data",
  valNumSamples: "evaluation.retrieval.samples",
  imagenetVal: "evaluation.zeroShot.data",
  saveFrequency: "checkpoint.everyEpochs",
  saveSteps: "checkpoint.everySteps",
  keepLast: "checkpoint.keepLast",
  resume: "resume",
  restartData: "restartData",
  device: "device",
  threads: "threads",
} as const satisfies Partial<Record<keyof TrainFlags, string>>;

/** Options that messages may mention, with a flag for each, where several flags form one option. */
const FLAG_OF: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.entries(OPTION_OF).map(([name, option]) => [option, flagOf(name)])),
  model: "--model",
  folder: "--name",
};

/** "batchSize" → "--batch-size" */
function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

type Fields = Record<string, unknown>;

/** Sets a field of nested objects, which are made on the way. */
function setField(target: Fields, [first, ...rest]: readonly string[], value: unknown): void {
  if (rest.length === 0) {
    target[first!] = value;
    return;
  }
  target[first!] ??= {};
  setField(target[first!] as Fields, rest, value);
}

function pretrainedFrom(flags: TrainFlags): Pretrained {
  const { pretrained, pretrainedImagePath, pretrainedTextPath } = flags;
  const { pretrainedActivation: activation, pretrainedEma: ema, skipList: skip } = flags;
  const weights = (path: string | undefined): PretrainedWeights | undefined =>
    path === undefined ? undefined : withoutUndefined({ path, skip, activation, ema });
  return {
    model: weights(pretrained),
    image: weights(pretrainedImagePath),
    text: weights(pretrainedTextPath),
  };
}

/** The recipe that flags describe, in the run's folder. */
export async function recipeFrom(flags: TrainFlags, folder: string): Promise<RecipeOptions> {
  const options: Fields = {
    model: await configFrom(flags.model),
    folder,
    dataset: datasetOptions(flags),
    pretrained: pretrainedFrom(flags),
    logger: { info: say, warn: say },
    onDownload: downloadProgress(),
  };
  for (const [name, option] of Object.entries(OPTION_OF)) {
    const value = flags[name as keyof typeof OPTION_OF];
    if (value !== undefined) setField(options, option.split("."), value);
  }
  const set = (option: string, value: unknown) => setField(options, option.split("."), value);
  if (flags.forceQuickGelu) set("quickGelu", true);
  if (flags.siglip) set("loss", "siglip");
  if (flags.skipScheduler) set("schedule.kind", "const");
  if (flags.lockImage) set("imageTower.freeze", { unlockedGroups: flags.lockImageUnlockedGroups ?? 0 });
  if (flags.lockText) set("textTower.freeze", { unlockedGroups: flags.lockTextUnlockedLayers ?? 0 });
  if (flags.valData !== undefined) set("evaluation.retrieval.everyEpochs", flags.valFrequency);
  if (flags.imagenetVal !== undefined) set("evaluation.zeroShot.everyEpochs", flags.zeroshotFrequency);
  return options as unknown as RecipeOptions;
}

/** An error of the recipe with the names of flags in place of options'. */
export function inFlags(error: unknown): unknown {
  if (!(error instanceof EvaClipError)) return error;
  const message = error.message
    .replace(/^trainRecipe: /, "")
    .replace(
      /\boptions\.([A-Za-z_]+(?:\.[A-Za-z_]+)*)/g,
      (found, option: string) => FLAG_OF[option] ?? found,
    );
  if (message === error.message) return error;
  return new EvaClipError(error.code, message, error.details, { cause: error });
}
