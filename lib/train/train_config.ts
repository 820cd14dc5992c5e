import { z } from "zod";
import {
  abortSignal,
  anyFunction,
  checkArgument,
  flag,
  instanceOf,
  invalidArgument,
  listOf,
  options,
  pathText,
  positiveInteger,
  share,
  shortened,
  text,
} from "../arguments";
import { Device } from "../device";
import { ClipModel } from "../models/clip_model";
import { Optimizer } from "../optim/optimizer";
import { parameterList } from "../optim/parameter_groups";
import type { Parameter } from "../parameter";
import { isGroupName } from "../weights/checkpoint/checkpoint_folder";
import type { BatchSource, TrainingBatch } from "./batch_source";
import type { TrainSchedule } from "./learning_rates";
import type { AfterUpdate } from "./objective/after_update";
import type { Objective, RecordImages } from "./objective/objective";

/** Patch dropout in training (Li et al. 2023, FLIP). */
export interface PatchDropout {
  /** The share of patches dropped. */
  readonly rate: number;
  /** The last share of the steps, without patch dropout. Default 0. */
  readonly undroppedEnd?: number;
}

export interface TrainConfig {
  /** The device of the whole run. */
  readonly device: Device;
  /** With f32 parameters on the device, initialized or loaded. */
  readonly model: ClipModel;
  /** `train` allocates its moments if they have no memory yet; the caller disposes of it. */
  readonly optimizer: Optimizer;
  /** A run on a plain iterable cannot be resumed. */
  readonly data: BatchSource | AsyncIterable<TrainingBatch>;
  /** Updates of the whole run, including those before a resume. */
  readonly steps: number;
  /** Learning rate schedule. Default: cosine decay over all steps, without warm-up. */
  readonly schedule?: TrainSchedule;
  /** Default: that of the model's configuration, at every step. */
  readonly patchDropout?: PatchDropout;
  /**
   * Keeps only the input of each block for the backward pass and computes the block again there (activation
   * checkpointing): less memory, about a third more time, the same results. Default false.
   */
  readonly gradCheckpointing?: boolean;
  /** Chooses the patches that are dropped. Default 0. */
  readonly seed?: number;
  /** Records how images are made on the device, for batches that hold other `tensors` than pixels, or pixels to augment. */
  readonly images?: RecordImages;
  /** Records the loss. Default `clipObjective`. */
  readonly objective?: Objective;
  /** Records what follows each update. Default `clampLogitScale`, which a function given here may call. */
  readonly afterUpdate?: AfterUpdate;
  /**
   * Parameters that checkpoints store in addition to the model and the optimizer's moments, by the name of their file:
   * those that only the objective uses, or an average of the weights.
   */
  readonly parameterGroups?: Readonly<Record<string, readonly Parameter[]>>;
  /** Reports every parameter's gradient norm and trust ratio in a `layers` event; other steps cost nothing more. */
  readonly detail?: {
    /** Steps between reports. */
    readonly every: number;
  };
  /** Where checkpoints are written, whatever ends the run; left out, there are none. A folder serves one run at a time. */
  readonly checkpoint?: {
    readonly directory: string;
    /** Steps between checkpoints. Default: only one at the end. */
    readonly every?: number;
    /** How many are kept. Default all. */
    readonly keepLast?: number;
  };
  /** Called between steps, after the checkpoint of the same step; its result, unless empty, becomes an `evaluate` event. */
  readonly evaluate?: {
    /** Steps between evaluations; there is always one at the end. */
    readonly every: number;
    /** `signal` is aborted when the run is to stop: an evaluation may then end early, by rejecting. */
    readonly run: (step: number, signal: AbortSignal) => Promise<Readonly<Record<string, number>>>;
  };
  /**
   * A JSON-lines file to which the `step`, `layers` and `evaluate` events are appended. A write error does not end the
   * run: a `warning` event reports it, and the lines are written later.
   */
  readonly metricsFile?: string;
}

export interface TrainOptions {
  /** When aborted, the run writes a checkpoint after the current step, then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /**
   * A checkpoint's folder, a folder of checkpoints, or `latest` for the newest checkpoint of the run that was started
   * last in `checkpoint.directory`; if that has none yet, a new run starts.
   */
  readonly resume?: string;
  /** Groups that may be in the checkpoint or in this run alone: they are neither read nor required. */
  readonly ignore?: readonly string[];
  /** Starts the data from the beginning instead of the checkpoint's position, for a data set that has changed. Default false. */
  readonly restartData?: boolean;
}

const groupNames = listOf(text, "a list of names of parameter groups");

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
  // `LearningRates` checks it.
  schedule: z.unknown().optional(),
  patchDropout: options({ rate: share, undroppedEnd: share.optional() }).optional(),
  gradCheckpointing: flag.optional(),
  seed: z.int32({ error: "a 32-bit integer" }).optional(),
  images: anyFunction.optional(),
  objective: anyFunction.optional(),
  afterUpdate: anyFunction.optional(),
  parameterGroups: z
    .record(z.string(), parameterList, { error: "an object with a list of parameters by name" })
    .optional(),
  detail: options({ every: positiveInteger }).optional(),
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
  ignore: groupNames.optional(),
  restartData: flag.optional(),
});

/** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` naming the invalid field. */
export function checkTraining(config: TrainConfig, given: TrainOptions): void {
  checkArgument("train: config", config, configSchema);
  checkArgument("train: options", given, optionsSchema);
  checkParameters(config);
  const { resume, restartData, ignore } = given;
  if (resume === "latest" && !config.checkpoint)
    throw invalidArgument("train: options.resume latest needs config.checkpoint.directory");
  for (const [name, value] of Object.entries({ restartData, ignore })) {
    if (value && resume === undefined)
      throw invalidArgument(`train: options.${name} is for a resumed run: it needs options.resume`);
  }
}

function checkParameters({ model, optimizer, checkpoint, parameterGroups = {} }: TrainConfig): void {
  const groups = Object.entries(parameterGroups);
  for (const [name] of groups) {
    if (isGroupName(name) && !OWN_GROUPS.includes(name)) continue;
    const expected = `lowercase letters, digits, - and _, other than ${OWN_GROUPS.join(" and ")}`;
    const message = `train: config.parameterGroups has a group ${shortened(JSON.stringify(name))}: a name must be ${expected}`;
    throw invalidArgument(message, { field: "parameterGroups" });
  }
  const others = groups.flatMap(([, parameters]) => parameters);
  const wrong =
    others.find(({ allocated }) => !allocated) ??
    [...model.parameters(), ...optimizer.parameters].find(
      ({ allocated, dtype }) => !allocated || dtype !== "f32",
    );
  if (wrong)
    throw invalidArgument(
      `train: the parameters must be f32 on the device: ${wrong.name} is ${wrong.allocated ? wrong.dtype : "not allocated"}`,
      { parameter: wrong.name },
    );
  const saved = new Set([...model.parameters(), ...others]);
  const unsaved = checkpoint && optimizer.parameters.find((parameter) => !saved.has(parameter));
  if (unsaved)
    throw invalidArgument(
      `train: checkpoints would lack ${unsaved.name}, which the optimizer trains and the model does not hold: add it to config.parameterGroups`,
      { parameter: unsaved.name },
    );
}

/** The groups that every checkpoint of a run holds. */
const OWN_GROUPS: readonly string[] = ["model", "optimizer"];

/** The parameters that a checkpoint of the run holds, by group. */
export function groupsOf({
  model,
  optimizer,
  parameterGroups,
}: TrainConfig): Record<string, readonly Parameter[]> {
  return { model: model.parameters(), optimizer: optimizer.state(), ...parameterGroups };
}

/** The share of patches dropped at a step, counted from 0. */
export function patchDropoutAt(step: number, { steps, patchDropout, model }: TrainConfig): number {
  if (!patchDropout) return model.image.patchDropout;
  const { rate, undroppedEnd = 0 } = patchDropout;
  return step < Math.round(steps * (1 - undroppedEnd)) ? rate : 0;
}
