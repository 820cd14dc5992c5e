import { z } from "zod";
import {
  abortSignal,
  anyFunction,
  finiteNumber,
  flag,
  invalidArgument,
  listOf,
  oneOf,
  options as optionsOf,
  ownArgument,
  pathText,
  positiveInteger,
  share,
  text,
  wholeNumber,
} from "../../arguments";
import { datasetArgument } from "../../data/checked_dataset";
import type { Dataset } from "../../data/dataset";
import type { LoaderOptions } from "../../data/loader/loader_options";
import { openDatasetOptions, type OpenDatasetOptions } from "../../data/sources/open_dataset";
import { type Device, type DeviceChoice, deviceOrChoice } from "../../device";
import { imageSize } from "../../image/decode";
import type { Preprocessing } from "../../image/preprocessing";
import type { DownloadProgress } from "../../hub/repository";
import { type Logger, loggerArgument } from "../../logger";
import { type Precision, precisionArgument } from "../../models/precision";
import type { InitScheme } from "../../nn/initialization";
import type { LambOptions } from "../../optim/lamb";
import type { Schedule } from "../../optim/schedule";
import type { TowerLock } from "../../optim/tower_locks";
import { configSource } from "../../weights/config/config_argument";
import type { ConfigSource } from "../../weights/config/resolve_config";
import type { Pretrained } from "../../weights/pretrained";
import type { AfterUpdate } from "../objective/after_update";
import type { Objective } from "../objective/objective";

/** Settings of one tower. Default: those of the whole model. */
export interface RecipeTower {
  readonly learningRate?: number;
  readonly weightDecay?: number;
  readonly layerDecay?: number;
  /** Freeze the tower, or all of it but the last `unlockedGroups` groups. Default false. */
  readonly freeze?: boolean | TowerLock;
}

/** A data set to evaluate on during training, always at the end of the run as well. */
export interface RecipeEvaluation {
  readonly data: string | Dataset;
  /** Epochs between evaluations. Default 1. */
  readonly everyEpochs?: number;
  /** Evaluate on the first samples only. Default: on all. */
  readonly samples?: number;
}

export interface RecipeOptions {
  /** A published model's name or a configuration. */
  readonly model: ConfigSource;
  /** Side of an image in pixels, instead of the configuration's. */
  readonly imageSize?: number;
  /** Longest caption in tokens, instead of the configuration's. */
  readonly contextLength?: number;
  /** Use QuickGELU, instead of the configuration's activation. */
  readonly quickGelu?: boolean;
  /** Fields of the images' preprocessing, instead of the configuration's. */
  readonly preprocessing?: Partial<Preprocessing>;
  /** Initialization of weights that are not pretrained. Default `published`. */
  readonly init?: InitScheme;
  /** Weights to start from; a resumed run takes its checkpoint's. */
  readonly pretrained?: Pretrained;
  /** Precision of the model's computations. Default `bf16` on CUDA, `f32` on the CPU. */
  readonly precision?: Precision;

  /** A path as `openDataset` takes it, or an open data set. */
  readonly trainData: string | Dataset;
  /** For `openDataset`, of `trainData` and of `evaluation.retrieval.data`. */
  readonly dataset?: OpenDatasetOptions;
  /** Samples per epoch. Default: the size of the data set; shards do not know theirs. */
  readonly samplesPerEpoch?: number;
  /** Draw shards with replacement. Default false. */
  readonly resampled?: boolean;
  readonly loader?: Pick<LoaderOptions, "concurrency" | "prefetch" | "maxSkips" | "cropScale" | "textBucket">;

  /** Default 64. */
  readonly batchSize?: number;
  /** Default 32. */
  readonly epochs?: number;
  /** Updates of the whole run, instead of `epochs`. */
  readonly steps?: number;

  /** Default `adamw`. */
  readonly optimizer?: "adamw" | "lamb";
  /** Default `apex`. */
  readonly lambVariant?: NonNullable<LambOptions["variant"]>;
  /** Default 5e-4. */
  readonly learningRate?: number;
  /** Default 0.05 (EVA-CLIP's; open_clip's is 0.2). */
  readonly weightDecay?: number;
  /** lr(layer) = lr × layerDecay^(layers above). Default 1. */
  readonly layerDecay?: number;
  readonly imageTower?: RecipeTower;
  readonly textTower?: RecipeTower;
  /** Default 0.9. */
  readonly beta1?: number;
  /** Default 0.98. */
  readonly beta2?: number;
  /** Optimizer epsilon. Default 1e-6. */
  readonly eps?: number;
  /** Largest global norm of the gradients. Default: no clipping. */
  readonly clipNorm?: number;
  readonly schedule?: {
    /** Default `cosine`. */
    readonly kind?: NonNullable<Schedule["kind"]>;
    /** Default: 2,000 steps, but at most a tenth of the run. */
    readonly warmupSteps?: number;
    /** The last epochs, in which `const-cooldown` falls to 0. */
    readonly cooldownEpochs?: number;
  };
  readonly patchDropout?: {
    /** Fraction of patches dropped. Default: the configuration's. */
    readonly rate?: number;
    /** Fraction of training at the end without patch dropout. Default 0. */
    readonly undroppedEnd?: number;
  };
  /** Activation checkpointing: each block is computed again in the backward pass, which saves memory. Default false. */
  readonly gradCheckpointing?: boolean;
  /** Default `clip`; `siglip` gives a configuration without a logit bias `SIGLIP_LOGITS`. */
  readonly loss?: "clip" | "siglip";
  /** Records another loss, instead of `loss`. */
  readonly objective?: Objective;
  /** Records what follows each update. Default `clampLogitScale`. */
  readonly afterUpdate?: AfterUpdate;
  /** Seed of weights, sample order, crops and patch dropout. Default 0. */
  readonly seed?: number;

  /** Evaluations during training. */
  readonly evaluation?: {
    /** Images with captions. Metrics `image_to_text_R@k` and `text_to_image_R@k`, k = 1, 5, 10. */
    readonly retrieval?: RecipeEvaluation;
    /** A folder with one folder of images per class. Metrics `zeroshot-top1` and `zeroshot-top5`. */
    readonly zeroShot?: RecipeEvaluation;
  };

  /** The run's folder: settings, metrics, checkpoints. Without one, nothing is written. */
  readonly folder?: string;
  readonly checkpoint?: {
    /** Epochs between checkpoints. Default 1; of unknown length, tenths of `steps` but at most 1,000 steps. */
    readonly everyEpochs?: number;
    /** Steps between checkpoints, instead of `everyEpochs`. */
    readonly everySteps?: number;
    /** Default: all are kept. */
    readonly keepLast?: number;
  };
  /** A checkpoint's folder, a folder of checkpoints, or `latest`: the newest of this run's folder, if it has one. */
  readonly resume?: string;
  /** When resuming, begin with the first sample again, for a data set that has changed. Default false. */
  readonly restartData?: boolean;

  /** Default `auto`. A `Device` that is passed open stays open. */
  readonly device?: DeviceChoice | Device;
  /** CPU threads of a device that the run opens. Default: all that the process may use. */
  readonly threads?: number;
  /** Ends the run after the current step: a checkpoint is written, then `result` rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Told of skipped samples, ignored files, evaluation protocols, and of the CPU in place of a GPU. */
  readonly logger?: Logger;
  /** Called while pretrained weights are downloaded from the hub; if it throws or rejects, the run does not start. */
  readonly onDownload?: (progress: DownloadProgress) => unknown;
}

const rate = finiteNumber.min(0);
const belowOne = z
  .number({ error: "a number of at least 0 and less than 1" })
  .refine((value) => value >= 0 && value < 1, { error: "a number of at least 0 and less than 1" });
const tower = optionsOf({
  learningRate: rate.optional(),
  weightDecay: rate.optional(),
  layerDecay: share.optional(),
  freeze: z
    .union([flag, optionsOf({ unlockedGroups: wholeNumber.optional() })], {
      error: "true, false or { unlockedGroups }",
    })
    .optional(),
}).optional();
const dataArgument = z.union([pathText, datasetArgument], { error: "a path or a data set" });
const evaluationOf = optionsOf({
  data: dataArgument,
  everyEpochs: positiveInteger.optional(),
  samples: positiveInteger.optional(),
}).optional();
const anyFields = z.looseObject({}, { error: "an object" });

const recipeOptions = optionsOf({
  model: configSource,
  imageSize: imageSize.optional(),
  contextLength: positiveInteger.optional(),
  quickGelu: flag.optional(),
  preprocessing: anyFields.optional(),
  init: oneOf("published", "fan_in").optional(),
  pretrained: anyFields.optional(),
  precision: precisionArgument.optional(),
  trainData: dataArgument,
  dataset: openDatasetOptions,
  samplesPerEpoch: positiveInteger.optional(),
  resampled: flag.optional(),
  loader: optionsOf({
    concurrency: positiveInteger.optional(),
    prefetch: wholeNumber.optional(),
    maxSkips: wholeNumber.optional(),
    cropScale: listOf(share, "a pair of fractions of the area").optional(),
    textBucket: positiveInteger.optional(),
  }).optional(),
  batchSize: positiveInteger.optional(),
  epochs: positiveInteger.optional(),
  steps: positiveInteger.optional(),
  optimizer: oneOf("adamw", "lamb").optional(),
  lambVariant: oneOf("paper", "apex", "deepspeed").optional(),
  learningRate: rate.optional(),
  weightDecay: rate.optional(),
  layerDecay: share.optional(),
  imageTower: tower,
  textTower: tower,
  beta1: belowOne.optional(),
  beta2: belowOne.optional(),
  eps: rate.optional(),
  clipNorm: rate.optional(),
  schedule: optionsOf({
    kind: oneOf("cosine", "const", "const-cooldown").optional(),
    warmupSteps: wholeNumber.optional(),
    cooldownEpochs: positiveInteger.optional(),
  }).optional(),
  patchDropout: optionsOf({ rate: belowOne.optional(), undroppedEnd: share.optional() }).optional(),
  gradCheckpointing: flag.optional(),
  loss: oneOf("clip", "siglip").optional(),
  objective: anyFunction.optional(),
  afterUpdate: anyFunction.optional(),
  seed: z.int32({ error: "a 32-bit integer" }).optional(),
  evaluation: optionsOf({ retrieval: evaluationOf, zeroShot: evaluationOf }).optional(),
  folder: pathText.optional(),
  checkpoint: optionsOf({
    everyEpochs: positiveInteger.optional(),
    everySteps: positiveInteger.optional(),
    keepLast: positiveInteger.optional(),
  }).optional(),
  resume: text.min(1).optional(),
  restartData: flag.optional(),
  device: deviceOrChoice.optional(),
  threads: positiveInteger.optional(),
  signal: abortSignal.optional(),
  logger: loggerArgument.optional(),
  onDownload: anyFunction.optional(),
});

/** An error that names an option. */
export function invalidOption(option: string, problem: string): Error {
  return invalidArgument(`trainRecipe: options.${option} ${problem}`, { field: option });
}

/**
 * A copy of the options.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` naming the option that is invalid or has no effect
 */
export function ownRecipe(given: RecipeOptions): RecipeOptions {
  const own = ownArgument("trainRecipe: options", given, recipeOptions);
  const { optimizer, lambVariant, schedule, resume, restartData, folder, checkpoint } = own;
  if (lambVariant !== undefined && optimizer !== "lamb")
    throw invalidOption("lambVariant", 'needs optimizer "lamb"');
  const cools = schedule?.kind === "const-cooldown";
  if (cools && schedule?.cooldownEpochs === undefined)
    throw invalidOption("schedule.kind", "const-cooldown needs schedule.cooldownEpochs");
  if (!cools && schedule?.cooldownEpochs !== undefined)
    throw invalidOption("schedule.cooldownEpochs", 'needs the schedule\'s kind "const-cooldown"');
  if (own.loss !== undefined && own.objective !== undefined)
    throw invalidOption("loss", "has no effect with an objective");
  if (restartData && resume === undefined) throw invalidOption("restartData", "needs resume");
  if (folder === undefined && resume === "latest") throw invalidOption("resume", "latest needs a folder");
  if (folder === undefined && checkpoint !== undefined) throw invalidOption("checkpoint", "needs a folder");
  return own;
}
