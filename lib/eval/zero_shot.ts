import { listOf, options, ownArgument, text } from "../arguments";
import type { Batch } from "../data/loader/batch";
import type { Dataset } from "../data/dataset";
import { EvaClipError } from "../errors";
import { throwIfAborted } from "../abortable";
import { type Encoder, scoresOf } from "../clip/encoder";
import { zeroShotWeights } from "../clip/zero_shot_weights";
import { checkEvaluated, type Evaluated, useEncoder } from "./evaluated";
import {
  countSkips,
  describeImages,
  type EvaluationOptions,
  encodeBatch,
  evaluationFields,
  evaluationLoader,
  type Skips,
} from "./evaluation";
import { probabilityWithin, rankAmong } from "./rank";
import { OPENAI_IMAGENET_TEMPLATES, type PromptTemplates, promptTemplates } from "../clip/templates";

export interface ZeroShotOptions extends EvaluationOptions {
  /** Default the 80 prompts of the published protocol. */
  readonly templates?: PromptTemplates;
  /** Class names, one per class of the data set, in its order. Default the data set's own. */
  readonly classes?: readonly string[];
}

const classNames = listOf(text, "a list of class names");
const zeroShotOptions = options({
  ...evaluationFields,
  templates: promptTemplates.optional(),
  classes: classNames.min(1).optional(),
});

export interface ZeroShotResult {
  readonly task: "zero-shot";
  readonly images: number;
  readonly classes: number;
  /** Shares of images whose class has the highest score, or one of the five highest; a tie counts as in random order. */
  readonly top1: number;
  readonly top5: number;
  /** The top-1 of guessing. */
  readonly chance: number;
  /** Samples that could not be used: their number, and by reason. */
  readonly skipped: number;
  readonly skips: Skips;
  /** How the score was computed. */
  readonly protocol: string;
}

function labelOf(batch: Batch, b: number, classes: number): number {
  const { label, key } = batch.samples[b]!;
  if (label !== undefined && Number.isInteger(label) && label >= 0 && label < classes) return label;
  const found = label === undefined ? "no class" : `class ${label}, which is not one of the ${classes} names`;
  throw new EvaClipError("ERR_EVACLIP_DATA", `${key} has ${found}`, { key });
}

function classesOf(dataset: Dataset, given: readonly string[] | undefined): readonly string[] {
  const classes = given ?? dataset.classes;
  if (classes === undefined || classes.length === 0) {
    throw new EvaClipError("ERR_EVACLIP_DATA", "the data set has no class names");
  }
  if (dataset.classes === undefined || dataset.classes.length === classes.length) return [...classes];
  const message = `classes must name each of the data set's ${dataset.classes.length} classes, found ${classes.length} names`;
  throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message);
}

/**
 * Zero-shot classification of a data set whose samples have labels, such as a folder per class. Ties count as in random
 * order, so that a model with the same score for all classes gets `chance`. One call of the model: `dispose` waits for
 * it.
 * @throws EvaClipError `ERR_EVACLIP_DATA` when the data set has no classes, a sample has no label, or no image can be
 *   scored; `ERR_EVACLIP_NOT_FINITE` when an embedding or a score is NaN or infinite
 */
export async function evaluateZeroShot(
  model: Evaluated,
  dataset: Dataset,
  options: ZeroShotOptions = {},
): Promise<ZeroShotResult> {
  checkEvaluated("evaluateZeroShot", model, dataset);
  const own = ownArgument("evaluateZeroShot: options", options, zeroShotOptions);
  const { templates = OPENAI_IMAGENET_TEMPLATES } = own;
  const settings = { ...own, templates, classes: classesOf(dataset, own.classes) };
  return useEncoder(model, own.signal, (encoder) => zeroShot(encoder, dataset, settings));
}

async function zeroShot(
  encoder: Encoder,
  dataset: Dataset,
  options: EvaluationOptions & Required<Pick<ZeroShotOptions, "templates" | "classes">>,
): Promise<ZeroShotResult> {
  const { classes, templates, signal, onProgress } = options;
  const weights = await zeroShotWeights(encoder, classes, templates, signal);
  let [images, first, five] = [0, 0, 0];
  await using loader = evaluationLoader(dataset, encoder, options);
  for await (const batch of loader) {
    const features = await encodeBatch(encoder, batch, signal);
    const scores = await scoresOf(encoder, features, weights, signal);
    throwIfAborted(signal);
    for (let b = 0; b < batch.size; b++) {
      const row = scores.subarray(b * classes.length, (b + 1) * classes.length);
      const rank = rankAmong(row, [labelOf(batch, b, classes.length)]);
      first += probabilityWithin(rank, 1);
      five += probabilityWithin(rank, 5);
    }
    images += batch.size;
    await onProgress?.(images, dataset.size);
  }
  if (images === 0) throw new EvaClipError("ERR_EVACLIP_DATA", "the data set has no image to score");
  return {
    task: "zero-shot",
    images,
    classes: classes.length,
    top1: first / images,
    top5: five / images,
    chance: 1 / classes.length,
    skipped: countSkips(loader.skips),
    skips: { ...loader.skips },
    protocol:
      `zero-shot classification, ${classes.length} classes, ${templates.length} prompts per class, ` +
      `each class the normalized mean of its prompts' normalized embeddings; ${describeImages(encoder)}`,
  };
}
