import { z } from "zod";
import {
  abortSignal,
  anyFunction,
  checkArgument,
  flag,
  instanceOf,
  invalidArgument,
  oneOf,
  options,
  pathText,
  positiveInteger,
  share,
  wholeNumber,
} from "../arguments";
import { Device } from "../device";
import { ClipModel } from "../models/clip_model";
import { Optimizer } from "../optim/optimizer";
import type { Schedule } from "../optim/schedule";
import type { BatchSource, TrainingBatch } from "./batch_source";
import type { RecordImages } from "./training_step";

/** The share of patches that training drops, and where it stops doing so. */
export interface PatchDropout {
  readonly rate: number;
  /** The last share of the steps, which see every patch. Default 0. */
  readonly undroppedEnd?: number;
}

export interface TrainConfig {
  /** Where everything runs. */
  readonly device: Device;
  /** With f32 parameters on the device, initialised or read. Its `type` is that of the activations. */
  readonly model: ClipModel;
  /** Its moments are allocated when they are not yet; the caller disposes of it. */
  readonly optimizer: Optimizer;
  /** A plain iterable serves as well, but a run on it cannot be resumed. */
  readonly data: BatchSource | AsyncIterable<TrainingBatch>;
  /** Updates of the whole run, those before a resume included. */
  readonly steps: number;
  /** Default: half a cosine over all steps without warm-up. */
  readonly schedule?: Partial<Omit<Schedule, "totalSteps">>;
  /** Default: the model's own configuration at every step. */
  readonly patchDropout?: PatchDropout;
  /** Chooses the patches that are dropped. Default 0. */
  readonly seed?: number;
  /** Makes images of a batch's own tensors on the device, for batches whose `images` are not pixels. */
  readonly images?: RecordImages;
  /** Where checkpoints go, whatever ends the run; without it there are none. One run has the folder at a time. */
  readonly checkpoint?: {
    readonly directory: string;
    /** Steps between checkpoints. Default: only one at the end. */
    readonly every?: number;
    /** How many are kept. Default all. */
    readonly keepLast?: number;
  };
  /** Called between steps, after the checkpoint of the same step; what it returns becomes an `evaluate` event, unless it is empty. */
  readonly evaluate?: {
    /** Steps between evaluations; there is always one at the end. */
    readonly every: number;
    /** `signal` is aborted when the run is to stop: what is under way may then end early, by rejecting. */
    readonly run: (step: number, signal: AbortSignal) => Promise<Readonly<Record<string, number>>>;
  };
  /**
   * A JSON-lines file that every step and evaluation is appended to. Lines that cannot be written are told of by a
   * `warning` event, kept, and tried again; the run goes on.
   */
  readonly metricsFile?: string;
}

export interface TrainOptions {
  /** Ends the run after the step under way: a checkpoint is written, then the run rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /**
   * A checkpoint's folder, a folder of checkpoints, or `latest` for the newest of the run that was started last in
   * `checkpoint.directory`; where that has none yet, the run begins.
   */
  readonly resume?: string;
  /** Begins the data anew instead of where the checkpoint left them, for a data set that has changed. Default false. */
  readonly restartData?: boolean;
}

const configSchema = options({
  device: z.custom<Device>((value) => value instanceof Device, { error: "a Device" }),
  model: instanceOf(ClipModel),
  optimizer: instanceOf(Optimizer),
  data: z.custom<TrainConfig["data"]>(
    (value) =>
      typeof (value as BatchSource | null)?.open === "function" ||
      typeof (value as AsyncIterable<TrainingBatch> | null)?.[Symbol.asyncIterator] === "function",
    { error: "a BatchSource or an async iterable of batches" },
  ),
  steps: positiveInteger,
  schedule: options({
    kind: oneOf("cosine", "const", "const-cooldown").optional(),
    warmupSteps: wholeNumber.optional(),
    cooldownSteps: wholeNumber.optional(),
  }).optional(),
  patchDropout: options({ rate: share, undroppedEnd: share.optional() }).optional(),
  seed: z.int32({ error: "a 32-bit integer" }).optional(),
  images: anyFunction.optional(),
  checkpoint: options({
    directory: pathText,
    every: positiveInteger.optional(),
    keepLast: positiveInteger.optional(),
  }).optional(),
  evaluate: options({ every: positiveInteger, run: anyFunction }).optional(),
  metricsFile: pathText.optional(),
});

const optionsSchema = options({
  signal: abortSignal.optional(),
  resume: pathText.optional(),
  restartData: flag.optional(),
});

/** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` naming the field that cannot be. */
export function checkTraining(config: TrainConfig, given: TrainOptions): void {
  checkArgument("train: config", config, configSchema);
  checkArgument("train: options", given, optionsSchema);
  const { model, checkpoint } = config;
  const wrong = model.parameters().find(({ allocated, dtype }) => !allocated || dtype !== "f32");
  if (wrong)
    throw invalidArgument(`train: the model needs f32 parameters on the device, and ${wrong.name} has none`);
  if (given.resume === "latest" && !checkpoint)
    throw invalidArgument("train: resume: latest needs a checkpoint.directory");
  if (given.restartData && given.resume === undefined)
    throw invalidArgument("train: options.restartData is for a run that goes on: it needs resume");
  checkScheduleFits(config);
}

/** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for a warm-up or a cooldown that the run is too short for. */
export function checkScheduleFits(config: Pick<TrainConfig, "steps" | "schedule">): void {
  const { kind, warmupSteps, cooldownSteps = 0, totalSteps } = scheduleOf(config);
  const cooldown = kind === "const-cooldown" ? cooldownSteps : 0;
  if (warmupSteps + cooldown <= totalSteps) return;
  const phases = cooldown === 0 ? "" : ` and a cooldown of ${cooldown}`;
  const message = `the schedule has a warm-up of ${warmupSteps} steps (--warmup)${phases}, and the whole run has ${totalSteps}`;
  throw invalidArgument(message, { warmupSteps, cooldownSteps: cooldown, steps: totalSteps });
}

/** The schedule with its defaults. */
export function scheduleOf({ steps, schedule }: Pick<TrainConfig, "steps" | "schedule">): Schedule {
  return { warmupSteps: 0, ...schedule, totalSteps: steps };
}

/** The share of patches dropped at a step, counted from 0. */
export function patchDropoutAt(step: number, { steps, patchDropout, model }: TrainConfig): number {
  if (!patchDropout) return model.image.patchDropout;
  const { rate, undroppedEnd = 0 } = patchDropout;
  return step < Math.round(steps * (1 - undroppedEnd)) ? rate : 0;
}
