import { z } from "zod";
import { checkArgument, invalidArgument, options, shortened } from "../../arguments";
import { elementCount } from "../../shape";
import type { ClipModel } from "../../models/clip_model";
import type { PackedCaptions } from "../../models/text_tower";
import { anOperand, type Operand, type Tensor } from "../../tensor";
import { STEP_FIELDS } from "../train_events";

/** Scalars f32 by name: fields of `metrics` in the event of each step. A parameter reports its value after the update. */
export type RecordedMetrics = Readonly<Record<string, Operand>>;

/**
 * Makes images u8 [B, S, S, 3] or normalized f32 [B, 3, S, S] on the device, from the tensors of a batch and its
 * `images`, if it has any.
 */
export type RecordImages = (tensors: Readonly<Record<string, Tensor>>) => Tensor;

/** The training step for which an objective records the loss. B samples, E dimensions of the shared space. */
export interface ObjectiveStep {
  readonly model: ClipModel;
  /** u8 [B, S, S, 3] or normalized f32 [B, 3, S, S] */
  readonly images: Tensor;
  readonly captions: PackedCaptions;
  /** The batch's `tensors`, by name. */
  readonly tensors: Readonly<Record<string, Tensor>>;
  /** [2] i32: the run's seed and the step, from which random ops draw. */
  readonly seed: Tensor;
  /** Fraction of patches that this step drops. */
  readonly patchDropout: number;
  /** The embeddings of `images`, of unit length: [B, E] f32. The tower is recorded once, however often this is called. */
  encodeImages(): Tensor;
  /** The embeddings of `captions`, of unit length: [B, E] f32. The tower is recorded once, however often this is called. */
  encodeTexts(): Tensor;
}

export interface ObjectiveResult {
  /** [] f32 */
  readonly loss: Tensor;
  readonly metrics?: RecordedMetrics;
}

/**
 * Records the loss that a step minimizes. It is called once for each shape of a batch, in the graph of the step; the
 * optimizer's parameters must all take part.
 */
export type Objective = (step: ObjectiveStep) => ObjectiveResult;

const recordedMetrics = z.record(z.string(), anOperand, { error: "an object with a scalar by name" });
const objectiveResult = options({ loss: anOperand, metrics: recordedMetrics.optional() });

/** Calls an objective. @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` when it returns anything but a loss and metrics. */
export function callObjective(objective: Objective, step: ObjectiveStep): ObjectiveResult {
  const result = objective(step);
  checkArgument("train: the result of config.objective", result, objectiveResult);
  return result;
}

function once<T>(record: () => T): () => T {
  let recorded: { readonly value: T } | undefined;
  return () => {
    recorded ??= { value: record() };
    return recorded.value;
  };
}

export function objectiveStep(step: Omit<ObjectiveStep, "encodeImages" | "encodeTexts">): ObjectiveStep {
  const { model, images, captions, seed, patchDropout } = step;
  return {
    ...step,
    encodeImages: once(() => model.image.encode(images, { seed, patchDropout })),
    encodeTexts: once(() => model.text.encode(captions)),
  };
}

/** Outputs of the step's program that are not fields of its event. */
export const LAYER_OUTPUTS = ["layerGradientNorms", "layerTrustRatios"] as const;

/**
 * The metrics of the objective and `afterUpdate`, as outputs of the step's program.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for a name that is taken, or a value that is not a scalar f32
 */
export function collectMetrics(...sources: (RecordedMetrics | undefined)[]): Record<string, Operand> {
  const taken = new Set<string>([...STEP_FIELDS, ...LAYER_OUTPUTS]);
  for (const metrics of sources) checkArgument("train: metrics", metrics, recordedMetrics.optional());
  const entries = sources.flatMap((metrics) => Object.entries(metrics ?? {}));
  for (const [name, value] of entries) {
    const shown = shortened(name);
    if (taken.has(name)) {
      const message = `train: the metric ${shown} needs another name: a step event has a field or a metric ${shown} already`;
      throw invalidArgument(message, { name });
    }
    taken.add(name);
    if (value.dtype === "f32" && elementCount(value.shape) === 1) continue;
    const found = `${value.dtype} [${value.shape.join(", ")}]`;
    throw invalidArgument(`train: the metric ${shown} must be a scalar f32, found ${found}`, { name, found });
  }
  return Object.fromEntries(entries);
}
