import { type Command, Option } from "commander";
import { LARGEST_IMAGE_SIZE } from "../../image/image_size";
import { INTERPOLATIONS } from "../../image/resample";
import { LARGEST_TEXT_BUCKET, LONGEST_CONTEXT, SHORTEST_CONTEXT } from "../../text/limits";
import { TOWER_SKIP_LIST } from "../../weights/tower_skip_list";
import { addDatasetFlags } from "../dataset_flags";
import { addDeviceFlags, addPrecisionFlag } from "../device_flags";
import type { Finish } from "../exit_code";
import {
  belowOne,
  channels,
  cropScale,
  integer,
  outputPath,
  positive,
  positiveReal,
  real,
  share,
  whole,
} from "../flag_values";
import { checkFlags } from "./flag_conflicts";
import type { TrainFlags } from "./flags";
import { ALIASES } from "./other_names";

/** The images that are being decoded are in memory, all of them before the first batch. */
const MOST_DECODED_AT_ONCE = 1024;
/** More than any data set has, and few enough that numbers of steps are exact. */
const MOST_SAMPLES = 1e12;

/** "learning rate of the image tower (also --visual-lr)" */
function also(flag: string, description: string): string {
  const names = Object.keys(ALIASES).filter((alias) => ALIASES[alias] === flag);
  return names.length === 0 ? description : `${description} (also ${names.join(", ")})`;
}

function addRequired(command: Command): void {
  command
    .requiredOption(
      "--train-data <path>",
      "(required) manifest, folder or shards such as 'train-{0000..0099}.tar'",
    )
    .requiredOption("--model <name|file>", "(required) a published model's name, or a JSON configuration");
}

function addModel(command: Command): void {
  command
    .option(
      "--force-image-size <n>",
      "side of an image in pixels, instead of the configuration's",
      integer(1, LARGEST_IMAGE_SIZE),
    )
    .option(
      "--force-context-length <n>",
      "longest caption in tokens, instead of the configuration's",
      integer(SHORTEST_CONTEXT, LONGEST_CONTEXT),
    )
    .option("--force-quick-gelu", "use QuickGELU, which OpenAI's weights need", false)
    .option(
      "--image-mean <values...>",
      "mean of red, green and blue, instead of the configuration's",
      channels,
    )
    .option(
      "--image-std <values...>",
      "standard deviation of red, green and blue, instead of the configuration's",
      channels,
    )
    .addOption(
      new Option(
        "--image-interpolation <name>",
        "how images are resized, instead of the configuration's",
      ).choices([...INTERPOLATIONS]),
    )
    .addOption(
      new Option(
        "--image-resize-mode <name>",
        "which side of an image is resized to the model's in evaluation, instead of the configuration's",
      ).choices(["shortest", "longest", "squash"]),
    )
    .addOption(
      new Option("--init <scheme>", "initialization: published, or fan_in (small models)")
        .choices(["published", "fan_in"])
        .default("published"),
    );
}

function addPretrained(command: Command): void {
  command
    .option(
      "--pretrained <path|name>",
      "start from a model's weights: a path, a published model, or hf-hub:OWNER/NAME",
    )
    .option("--pretrained-image-path <path>", "start the image tower from these weights")
    .option("--pretrained-text-path <path>", "start the text tower from these weights")
    .addOption(
      new Option(
        "--pretrained-activation <name>",
        "activation of pretrained weights if the file does not say (any: skip the check)",
      ).choices(["gelu", "quick_gelu", "any"]),
    )
    .option(
      "--pretrained-ema",
      "of pretrained files that contain both, use the moving average of the weights",
    )
    .option("--no-pretrained-ema", "of such files, use the weights themselves")
    .option(
      "--skip-list <names...>",
      `pretrained parameters not to load (default, for a tower: ${TOWER_SKIP_LIST.join(" ")})`,
    )
    .option("--lock-image", "freeze the image tower", false)
    .option("--lock-image-unlocked-groups <n>", "leave its last n groups of layers trainable", whole)
    .option("--lock-text", "freeze the text tower", false)
    .option("--lock-text-unlocked-layers <n>", "leave its last n layers trainable", whole);
}

function addData(command: Command): void {
  command
    .option(
      "--train-num-samples <n>",
      "samples per epoch, if the data set does not say",
      integer(1, MOST_SAMPLES),
    )
    .option("--dataset-resampled", "draw shards with replacement", false)
    .option(
      "--decode-concurrency <n>",
      `images decoded at once, at most ${MOST_DECODED_AT_ONCE} (default: twice the number of cores)`,
      integer(1, MOST_DECODED_AT_ONCE),
    )
    .option("--max-skips <n>", "samples that may be skipped (default: 100 and 5 % of those read)", whole)
    .option(
      "--crop-scale <min,max>",
      "fraction of an image's area that random crops keep (default: 0.9,1)",
      cropScale,
    )
    .option(
      "--text-bucket <n>",
      "packed captions are padded to a multiple of this many tokens (default: a power of two, at most an eighth of the batch and 256)",
      integer(1, LARGEST_TEXT_BUCKET),
    )
    .option("--val-data <path>", "images with captions, for retrieval during training")
    .option("--val-num-samples <n>", "evaluate on the first samples of --val-data only", positive)
    .option("--val-frequency <n>", "epochs between retrieval evaluations", positive, 1)
    .option("--imagenet-val <folder>", "one folder of images per class, for zero-shot classification")
    .option(
      "--zeroshot-frequency <n>",
      "epochs between zero-shot evaluations (open_clip's default is 2)",
      positive,
      1,
    );
  addDatasetFlags(command).option(
    "--shuffle-buffer <n>",
    "samples of shards shuffled together (default: 1000)",
    positive,
  );
}

function addOptimizer(command: Command): void {
  command
    .option("--siglip", "SigLIP's sigmoid loss; new models start with logit scale 10 and bias -10", false)
    .addOption(new Option("--opt <name>", "optimizer").choices(["adamw", "lamb"]).default("adamw"))
    .addOption(
      new Option("--lamb-variant <name>", "variant of LAMB (default: apex)").choices([
        "paper",
        "apex",
        "deepspeed",
      ]),
    )
    .option("--lr <x>", "learning rate, of the logit scale and of towers without their own", real, 5e-4)
    .option("--image-lr <x>", also("--image-lr", "learning rate of the image tower"), real)
    .option("--text-lr <x>", "learning rate of the text tower", real)
    .option("--wd <x>", "weight decay (EVA-CLIP's default; open_clip's is 0.2)", real, 0.05)
    .option("--image-wd <x>", also("--image-wd", "weight decay of the image tower"), real)
    .option("--text-wd <x>", "weight decay of the text tower", real)
    .option(
      "--layer-decay <x>",
      also("--layer-decay", "factor of the learning rate from each layer to the one below"),
      share,
      1,
    )
    .option("--image-layer-decay <x>", also("--image-layer-decay", "layer decay of the image tower"), share)
    .option("--text-layer-decay <x>", also("--text-layer-decay", "layer decay of the text tower"), share)
    .option("--beta1 <x>", "decay of the first moment", belowOne, 0.9)
    .option("--beta2 <x>", "decay of the second moment", belowOne, 0.98)
    .option("--eps <x>", "optimizer epsilon", positiveReal, 1e-6)
    .option(
      "--grad-clip-norm <x>",
      "clip the global norm of the gradients to this (default: no clipping)",
      real,
    );
}

function addSchedule(command: Command): void {
  command
    .option("--batch-size <n>", "samples per step", positive, 64)
    .option("--epochs <n>", "passes over the data", positive, 32)
    .option("--steps <n>", "updates of the whole run, instead of --epochs", positive)
    .option(
      "--warmup <n>",
      "warm-up steps (default: 2000, at most a tenth of the run; open_clip's is 10000)",
      whole,
    )
    .addOption(
      new Option("--lr-scheduler <name>", "schedule of the learning rate")
        .choices(["cosine", "const", "const-cooldown"])
        .default("cosine"),
    )
    .option("--epochs-cooldown <n>", "last epochs, in which const-cooldown falls", positive)
    .option("--skip-scheduler", "keep the learning rate constant after the warm-up", false)
    .option(
      "--force-patch-dropout <x>",
      "fraction of patches to drop (default: the configuration's)",
      belowOne,
    )
    .option("--undropped-end <x>", "fraction of training at the end without patch dropout", share, 0)
    .option(
      "--grad-checkpointing",
      "compute each block again in the backward pass: less memory, about a third more time",
      false,
    )
    .option("--seed <n>", "seed of weights, sample order, crops and patch dropout", whole, 0);
}

function addRun(command: Command): void {
  command
    .option("--logs <folder>", "folder of all runs", outputPath, "./logs")
    .option(
      "--name <name>",
      "the run's folder in --logs, which must be new unless --resume is given (default: the time)",
    )
    .option(
      "--resume <path>",
      "continue from a checkpoint; `latest` is the newest of this --name, if it has one",
    )
    .option(
      "--restart-data",
      "with --resume, begin with the first sample again, for a data set that has changed",
      false,
    )
    .option(
      "--save-frequency <n>",
      "epochs between checkpoints; if their length is unknown, tenths of --steps, at most 1000 steps each",
      positive,
      1,
    )
    .option("--save-steps <n>", "steps between checkpoints, instead of --save-frequency", positive)
    .option("--keep-last <n>", "number of checkpoints to keep (default: all)", positive)
    .option(
      "--log-every-n-steps <n>",
      "steps between lines of progress outside a terminal (open_clip's default is 100)",
      positive,
      10,
    );
  addDeviceFlags(command);
}

export function addTrainCommand(program: Command, finish: Finish): void {
  const command = program
    .command("train")
    .description(
      "train a model on images and captions. Flags have open_clip's names; defaults are EVA-CLIP's where the two differ",
    );
  addRequired(command);
  addData(command);
  addModel(command);
  addPretrained(command);
  addSchedule(command);
  addOptimizer(command);
  addPrecisionFlag(command);
  addRun(command);
  command.action(async (flags: TrainFlags) => {
    checkFlags(command, flags);
    const { runTraining } = require("./action") as typeof import("./action");
    finish(await runTraining(flags));
  });
}
