import type { Batch } from "../data/batch";
import type { Dataset } from "../data/dataset";
import { createLoader } from "../data/loader";
import { EvaClipError } from "../errors";
import { CLIP_PREPROCESSING, describePreprocessing } from "../models/preprocessing";
import { type Encoder, normalizeRow, type Rows, stackRows } from "./encoder";
import { fillTemplates, OPENAI_IMAGENET_TEMPLATES, type PromptTemplates } from "./templates";

/** Classes whose prompts are encoded at a time. */
const CLASSES_AT_ONCE = 8;
const DEFAULT_BATCH = 32;

export interface EvaluationOptions {
  /** Images encoded at a time. Default 32. */
  readonly batchSize?: number;
  /** Told how many images are done, and of how many where that is known. */
  readonly onProgress?: (done: number, total: number | undefined) => void;
  readonly signal?: AbortSignal;
}

export interface ZeroShotOptions extends EvaluationOptions {
  /** Default the 80 prompts of the published protocol. */
  readonly templates?: PromptTemplates;
  /** Class names; by default those of the data set. */
  readonly classes?: readonly string[];
}

export interface ZeroShotResult {
  readonly task: "zero-shot";
  readonly images: number;
  readonly classes: number;
  /** Shares of images whose class is the best, or among the best five. */
  readonly top1: number;
  readonly top5: number;
  /** The top-1 that guessing gives. */
  readonly chance: number;
  /** Samples that could not be used. */
  readonly skipped: number;
  /** How the score was made. */
  readonly protocol: string;
}

/**
 * A classifier made of words: per class the mean of its prompts' unit-length embeddings, brought to unit length again
 * (Radford et al. 2021, section 3.1.4). → [classes, E]
 */
export async function zeroShotWeights(
  encoder: Encoder,
  classes: readonly string[],
  templates: PromptTemplates,
  signal?: AbortSignal,
): Promise<Rows> {
  if (classes.length === 0 || templates.length === 0) {
    throw new EvaClipError(
      "ERR_EVACLIP_INVALID_ARGUMENT",
      "classification needs at least one class and one template",
    );
  }
  const weights: Float32Array[] = [];
  for (let start = 0; start < classes.length; start += CLASSES_AT_ONCE) {
    const some = classes.slice(start, start + CLASSES_AT_ONCE);
    const prompts = some.flatMap((name) => fillTemplates(templates, name));
    const embeddings = await encoder.encodeText(prompts, signal ? { signal } : {});
    for (let i = 0; i < some.length; i++) {
      weights.push(meanDirection(embeddings.slice(i * templates.length, (i + 1) * templates.length)));
    }
  }
  return stackRows(weights, encoder.embedDim);
}

function meanDirection(rows: readonly Float32Array[]): Float32Array {
  const sum = new Float32Array(rows[0]!.length);
  for (const row of rows) for (let i = 0; i < sum.length; i++) sum[i]! += row[i]!;
  return normalizeRow(sum);
}

/** How many entries of `scores` come before entry `own`: the greater ones, and the equal ones to its left. */
export function rankOf(scores: Float32Array, own: number): number {
  const score = scores[own]!;
  let rank = 0;
  for (let i = 0; i < scores.length; i++) if (scores[i]! > score || (scores[i] === score && i < own)) rank++;
  return rank;
}

/** The batches of a whole data set in its own order, under the evaluation transform. */
export function evaluationLoader(
  dataset: Dataset,
  { imageSize, preprocessing }: Pick<Encoder, "imageSize" | "preprocessing">,
  { batchSize, signal }: EvaluationOptions,
) {
  return createLoader(dataset, {
    batchSize: batchSize ?? DEFAULT_BATCH,
    imageSize,
    ...(preprocessing && { preprocessing }),
    transform: "evaluation",
    shuffle: false,
    text: false,
    dropLast: false,
    epochs: 1,
    ...(signal && { signal }),
  });
}

export function countSkips(skips: Readonly<Record<string, number>>): number {
  return Object.values(skips).reduce((sum, count) => sum + count, 0);
}

/** What images went through, in the protocol's words. */
export function describeImages(encoder: Encoder): string {
  const { imageSize, preprocessing = CLIP_PREPROCESSING } = encoder;
  return `images with the ${describePreprocessing(preprocessing, imageSize)}; ${encoder.setting}`;
}

function labelOf(batch: Batch, b: number, classes: number): number {
  const { label, key } = batch.samples[b]!;
  if (label !== undefined && label < classes) return label;
  const message = `${key} has ${label === undefined ? "no class" : `class ${label}, beyond the ${classes} names`}`;
  throw new EvaClipError("ERR_EVACLIP_DATA", message, { key });
}

/**
 * Zero-shot classification of a data set whose samples have labels, such as a folder for each class.
 * @throws EvaClipError `ERR_EVACLIP_DATA` when the data set has no classes or a sample no label
 */
export async function evaluateZeroShot(
  encoder: Encoder,
  dataset: Dataset,
  options: ZeroShotOptions = {},
): Promise<ZeroShotResult> {
  const { classes = dataset.classes, templates = OPENAI_IMAGENET_TEMPLATES, signal, onProgress } = options;
  if (!classes) throw new EvaClipError("ERR_EVACLIP_DATA", "the data set has no class names");
  const weights = await zeroShotWeights(encoder, classes, templates, signal);
  let [images, first, five] = [0, 0, 0];
  await using loader = evaluationLoader(dataset, encoder, options);
  for await (const batch of loader) {
    const features = await encoder.encodePixels(batch.images, batch.size, signal ? { signal } : {});
    const scores = await encoder.products(features, weights);
    for (let b = 0; b < batch.size; b++) {
      const row = scores.subarray(b * classes.length, (b + 1) * classes.length);
      const rank = rankOf(row, labelOf(batch, b, classes.length));
      if (rank < 1) first++;
      if (rank < 5) five++;
    }
    images += batch.size;
    onProgress?.(images, dataset.size);
  }
  return {
    task: "zero-shot",
    images,
    classes: classes.length,
    top1: first / images,
    top5: five / images,
    chance: 1 / classes.length,
    skipped: countSkips(loader.skips),
    protocol:
      `zero-shot classification, ${classes.length} classes, ${templates.length} prompts a class, ` +
      `each class the normalised mean of its prompts' normalised embeddings; ${describeImages(encoder)}`,
  };
}
