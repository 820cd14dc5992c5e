import type { Device } from "../device";
import { EvaClipError } from "../errors";
import type { ClipModel } from "../models/clip_model";
import type { Optimizer } from "../optim/optimizer";
import { checkSchedule, type Schedule } from "../optim/schedule";
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
  /** Where checkpoints go; without it there are none. */
  readonly checkpoint?: {
    readonly directory: string;
    /** Steps between checkpoints. Default: only one at the end. */
    readonly every?: number;
    /** How many are kept. Default all. */
    readonly keepLast?: number;
  };
  /** Called between steps; what it returns becomes an `evaluate` event. */
  readonly evaluate?: {
    /** Steps between evaluations; there is always one at the end. */
    readonly every: number;
    readonly run: (step: number) => Promise<Readonly<Record<string, number>>>;
  };
  /** A JSON-lines file that every step and evaluation is appended to. */
  readonly metricsFile?: string;
}

function invalid(message: string): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `train: ${message}`);
}

function expectInteger(name: string, value: number | undefined, least: number): void {
  if (value === undefined || (Number.isSafeInteger(value) && value >= least)) return;
  throw invalid(`${name} must be a whole number of at least ${least}, found ${value}`);
}

function expectShare(name: string, value: number | undefined): void {
  if (value === undefined || (value >= 0 && value <= 1)) return;
  throw invalid(`${name} must be from 0 to 1, found ${value}`);
}

/** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` naming the field that cannot be. */
export function checkConfig(config: TrainConfig): void {
  const { steps, seed, checkpoint, evaluate, patchDropout, model, schedule } = config;
  expectInteger("steps", steps, 1);
  expectInteger("checkpoint.every", checkpoint?.every, 1);
  expectInteger("checkpoint.keepLast", checkpoint?.keepLast, 1);
  expectInteger("evaluate.every", evaluate?.every, 1);
  expectShare("patchDropout.rate", patchDropout?.rate);
  expectShare("patchDropout.undroppedEnd", patchDropout?.undroppedEnd);
  if (seed !== undefined && (seed | 0) !== seed)
    throw invalid(`seed must be a 32-bit integer, found ${seed}`);
  checkSchedule(scheduleOf({ steps, ...(schedule && { schedule }) }));
  const wrong = model.parameters().find(({ allocated, dtype }) => !allocated || dtype !== "f32");
  if (wrong) throw invalid(`the model needs f32 parameters on the device, and ${wrong.name} has none`);
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
