import type { Precision } from "../models/precision";
import { type Command, Option } from "commander";
import { LARGEST_IMAGE_SIZE } from "../image/image_size";
import { LARGEST_TEXT_BUCKET, LONGEST_CONTEXT, SHORTEST_CONTEXT } from "../text/limits";
import { TOWER_SKIP_LIST } from "../weights/tower_skip_list";
import {
  addDatasetFlags,
  addDeviceFlags,
  addPrecisionFlag,
  type DatasetFlags,
  type DeviceFlags,
  outputPath,
} from "./flags";
import { belowOne, cropScale, integer, positive, positiveReal, real, share, whole } from "./numbers";
import type { Finish } from "./program";
import { checkFlags } from "./train_flags";

export interface TrainFlags extends DeviceFlags, DatasetFlags {
  model: string;
  forceImageSize?: number;
  forceContextLength?: number;
  forceQuickGelu: boolean;
  pretrained?: string;
  pretrainedImage?: string;
  pretrainedText?: string;
  pretrainedActivation?: "gelu" | "quick_gelu" | "any";
  pretrainedEma?: boolean;
  skipList?: string[];
  lockImage: boolean;
  lockImageUnlockedGroups?: number;
  lockText: boolean;
  lockTextUnlockedLayers?: number;
  init: "published" | "fan_in";
  trainData: string;
  trainNumSamples?: number;
  datasetResampled: boolean;
  workers?: number;
  maxSkips?: number;
  cropScale?: [number, number];
  textBucket?: number;
  batchSize: number;
  epochs: number;
  steps?: number;
  opt: "adamw" | "lamb";
  lambVariant?: "paper" | "apex" | "deepspeed";
  lr: number;
  visualLr?: number;
  textLr?: number;
  wd: number;
  visualWd?: number;
  textWd?: number;
  ld: number;
  visualLd?: number;
  textLd?: number;
  beta1: number;
  beta2: number;
  eps: number;
  gradClipNorm?: number;
  warmup?: number;
  lrScheduler: "cosine" | "const" | "const-cooldown";
  epochsCooldown?: number;
  skipScheduler: boolean;
  forcePatchDropout?: number;
  undroppedEnd: number;
  precision: Precision;
  seed: number;
  valData?: string;
  valFrequency: number;
  imagenetVal?: string;
  zeroshotFrequency: number;
  logs: string;
  name?: string;
  resume?: string;
  restartData: boolean;
  saveFrequency: number;
  saveSteps?: number;
  keepLast?: number;
  logEveryNSteps: number;
}

/** Samples decoded at once are held in memory, all of them before the first batch. */
const MOST_WORKERS = 1024;
/** More than any data set has, and few enough that numbers of steps are exact. */
const MOST_SAMPLES = 1e12;

function addModel(command: Command): void {
  command
    .requiredOption("--model <name|file>", "(required) a published model's name, or a JSON configuration")
    .option(
      "--force-image-size <n>",
      "pixels of an image's side, instead of the configuration's",
      integer(1, LARGEST_IMAGE_SIZE),
    )
    .option(
      "--force-context-length <n>",
      "longest caption in tokens, instead of the configuration's",
      integer(SHORTEST_CONTEXT, LONGEST_CONTEXT),
    )
    .option("--force-quick-gelu", "compute QuickGELU, as weights of OpenAI need", false)
    .addOption(
      new Option(
        "--init <scheme>",
        "how other weights start: as published, or by the width, for small models",
      )
        .choices(["published", "fan_in"])
        .default("published"),
    )
    .option("--pretrained <path>", "start from a model's weights, in any known layout")
    .option("--pretrained-image <path>", "start the image tower from these weights")
    .option("--pretrained-text <path>", "start the text tower from these weights")
    .addOption(
      new Option(
        "--pretrained-activation <name>",
        "what pretrained weights were trained with, where no file tells; any: take them with the model's all the same",
      ).choices(["gelu", "quick_gelu", "any"]),
    )
    .option("--pretrained-ema", "of pretrained files that hold both, take the moving average of the weights")
    .option("--no-pretrained-ema", "take the weights as they were trained")
    .option(
      "--skip-list <names...>",
      `pretrained parameters that start fresh (default, for a tower: ${TOWER_SKIP_LIST.join(" ")})`,
    )
    .option("--lock-image", "keep the weights of the image tower", false)
    .option("--lock-image-unlocked-groups <n>", "train its last groups all the same", whole)
    .option("--lock-text", "keep the weights of the text tower", false)
    .option("--lock-text-unlocked-layers <n>", "train its last layers all the same", whole);
}

function addData(command: Command): void {
  command
    .requiredOption(
      "--train-data <path>",
      "(required) manifest, folder or shards such as 'train-{0000..0099}.tar'",
    )
    .option(
      "--train-num-samples <n>",
      "samples of an epoch, where the data set does not say",
      integer(1, MOST_SAMPLES),
    )
    .option("--dataset-resampled", "draw shards with replacement", false)
    .option(
      "--workers <n>",
      "images decoded at once, at most 1024 (default: twice the cores)",
      integer(1, MOST_WORKERS),
    )
    .option("--max-skips <n>", "samples that may be left out (default: 100 and 5 % of those read)", whole)
    .option(
      "--crop-scale <least,most>",
      "share of an image's area that crops keep (default: 0.9,1)",
      cropScale,
    )
    .option(
      "--text-bucket <n>",
      "captions are packed to a multiple of this many tokens (default: 256)",
      integer(1, LARGEST_TEXT_BUCKET),
    )
    .option("--val-data <path>", "images with captions, for retrieval")
    .option("--val-frequency <n>", "epochs between retrieval evaluations", positive, 1)
    .option("--imagenet-val <folder>", "one folder of images a class, for zero-shot classification")
    .option("--zeroshot-frequency <n>", "epochs between zero-shot evaluations", positive, 1);
  addDatasetFlags(command).option(
    "--shuffle-buffer <n>",
    "samples of shards shuffled together (default: 1000)",
    positive,
  );
}

function addOptimization(command: Command): void {
  command
    .option("--batch-size <n>", "samples of a step", positive, 64)
    .option("--epochs <n>", "passes over the data", positive, 32)
    .option("--steps <n>", "updates of the whole run, instead of --epochs", positive)
    .addOption(new Option("--opt <name>", "optimizer").choices(["adamw", "lamb"]).default("adamw"))
    .addOption(
      new Option("--lamb-variant <name>", "which LAMB (default: apex)").choices([
        "paper",
        "apex",
        "deepspeed",
      ]),
    )
    .option("--lr <x>", "learning rate; of the logit scale, and of towers without their own", real, 5e-4)
    .option("--visual-lr <x>", "learning rate of the image tower", real)
    .option("--text-lr <x>", "learning rate of the text tower", real)
    .option("--wd <x>", "weight decay", real, 0.05)
    .option("--visual-wd <x>", "weight decay of the image tower", real)
    .option("--text-wd <x>", "weight decay of the text tower", real)
    .option("--ld <x>", "layer-wise decay of the learning rate", share, 1)
    .option("--visual-ld <x>", "layer-wise decay in the image tower", share)
    .option("--text-ld <x>", "layer-wise decay in the text tower", share)
    .option("--beta1 <x>", "decay of the first moment", belowOne, 0.9)
    .option("--beta2 <x>", "decay of the second moment", belowOne, 0.98)
    .option("--eps <x>", "added to the root of the second moment", positiveReal, 1e-6)
    .option("--grad-clip-norm <x>", "scale gradients down to this global norm (default: do not)", real)
    .option("--warmup <n>", "steps of warm-up (default: 2000, at most a tenth of the run)", whole)
    .addOption(
      new Option("--lr-scheduler <name>", "how the learning rate changes")
        .choices(["cosine", "const", "const-cooldown"])
        .default("cosine"),
    )
    .option("--epochs-cooldown <n>", "last epochs, in which const-cooldown falls", positive)
    .option("--skip-scheduler", "keep the learning rate after the warm-up", false)
    .option("--force-patch-dropout <x>", "share of patches to drop (default: the configuration's)", belowOne)
    .option("--undropped-end <x>", "last share of the run, which drops no patches", share, 0)
    .option("--seed <n>", "chooses weights, order, crops and patches", whole, 0);
}

function addRun(command: Command): void {
  command
    .option("--logs <folder>", "where runs are kept", outputPath, "./logs")
    .option("--name <name>", "the run's folder in --logs, a new one without --resume (default: the time)")
    .option(
      "--resume <path>",
      "go on from a checkpoint; `latest` is the newest of this --name, if it has one yet",
    )
    .option(
      "--restart-data",
      "on --resume, start from the first sample again, for a data set that has changed",
      false,
    )
    .option(
      "--save-frequency <n>",
      "epochs between checkpoints; where their length is unknown, tenths of --steps, at most 1000 steps each",
      positive,
      1,
    )
    .option("--save-steps <n>", "steps between checkpoints, instead of --save-frequency", positive)
    .option("--keep-last <n>", "checkpoints to keep (default: all)", positive)
    .option("--log-every-n-steps <n>", "steps between lines of progress outside a terminal", positive, 10);
  addDeviceFlags(command);
}

export function addTrainCommand(program: Command, finish: Finish): void {
  const command = program
    .command("train")
    .description("train a model on images and captions; flags have open_clip's names");
  addData(command);
  addModel(command);
  addOptimization(command);
  addPrecisionFlag(command);
  addRun(command);
  command.action(async (flags: TrainFlags) => {
    checkFlags(command, flags);
    const { runTraining } = require("./train_action") as typeof import("./train_action");
    finish(await runTraining(flags));
  });
}
