import { z } from "zod";
import {
  abortSignal,
  anyFunction,
  checkArgument,
  flag,
  invalidArgument,
  oneOf,
  options as optionsOf,
  ownArgument,
  positiveInteger,
  wholeNumber,
} from "../../arguments";
import { CLIP_PREPROCESSING, type Preprocessing, preprocessConfig } from "../../image/preprocessing";
import { datasetArgument } from "../checked_dataset";
import { randomResizedCrop } from "../../image/crop";
import type { Dataset, Json } from "../dataset";
import { decodeImage, type ImageInput, imageSize } from "../../image/decode";
import { prepareImage } from "../../image/prepare";
import type { CounterRandom } from "../../random";
import type { SkipReason } from "../../sample_error";
import type { Tokenizer } from "../../text/tokenizer";

/** Converts an image to RGB [size, size, 3]; randomness must come from `random`, the sample's own stream. */
export type ImageTransform = (image: ImageInput, size: number, random: CounterRandom) => Promise<Uint8Array>;

/** A skipped sample and the reason. */
export interface Skip {
  readonly reason: SkipReason;
  readonly key: string;
  readonly message: string;
}

export interface LoaderOptions {
  readonly batchSize: number;
  /** Side length of the images in pixels. */
  readonly imageSize: number;
  /** Seed of the order, the crops and the choice of captions. Default 0. */
  readonly seed?: number;
  /** Maximum tokens per caption. Default 77. */
  readonly contextLength?: number;
  /** Packed text is padded to a multiple of this many tokens. Default: a power of two, at most an eighth of the batch's tokens and 256. */
  readonly textBucket?: number;
  /** `train` (random resized crop, the default), `evaluation` (center crop) or a function. */
  readonly transform?: "train" | "evaluation" | ImageTransform;
  /** The model's preprocessing (`model.preprocessing`), for `train` and `evaluation`. Default CLIP's. */
  readonly preprocessing?: Preprocessing;
  /** Minimum and maximum fraction of the image area that `train` crops. Default [0.9, 1]. */
  readonly cropScale?: readonly [number, number];
  /** Default CLIP's. */
  readonly tokenizer?: Tokenizer;
  /** False to load images only: the batch's text is empty. Default true. */
  readonly text?: boolean;
  /** True (the default): random order and a random caption per sample; false: the data set's order and the first caption. */
  readonly shuffle?: boolean;
  /** Drops the last batch of an epoch if it is smaller. Default true. */
  readonly dropLast?: boolean;
  /** Epochs to read. Default: unlimited. */
  readonly epochs?: number;
  /** Images processed concurrently, at most those of the prefetched batches. Default twice the cores. */
  readonly concurrency?: number;
  /** Batches to prefetch. Default 2. */
  readonly prefetch?: number;
  /**
   * Called for every skipped sample, and awaited, before the batch that would have contained it. An error or rejection
   * ends the loader.
   */
  readonly onSkip?: (skip: Skip) => unknown;
  /** More skips than this are an error. Default 100 plus 5 % of the samples read. */
  readonly maxSkips?: number;
  /** `state()` of another loader over the same data set, to continue after its last batch. */
  readonly cursor?: Json;
  readonly signal?: AbortSignal;
}

/** The transform selected by the options. */
export function imageTransform({
  transform = "train",
  cropScale: scale,
  preprocessing: given = CLIP_PREPROCESSING,
}: Pick<LoaderOptions, "transform" | "cropScale" | "preprocessing">): ImageTransform {
  if (typeof transform !== "string") return transform;
  const preprocessing = preprocessConfig.parse(given);
  if (transform === "evaluation") return (image, size) => prepareImage(image, size, preprocessing);
  const { interpolation } = preprocessing;
  const options = scale === undefined ? {} : { scale };
  return (image, size, random) => decodeImage(image, size, randomResizedCrop(random, options), interpolation);
}

const MOST_BATCHES_AHEAD = 1000;

const cropShare = z
  .number({ error: "a number above 0 and at most 1" })
  .max(1)
  .refine((value) => value > 0, { error: "a number above 0 and at most 1" });
const tokenizer = z.custom<Tokenizer>(
  (value) => typeof (value as Tokenizer | null | undefined)?.encode === "function",
  { error: "a tokenizer" },
);
const OPTIONS = optionsOf({
  batchSize: positiveInteger,
  imageSize,
  seed: z.int({ error: "an integer" }).optional(),
  contextLength: positiveInteger.optional(),
  textBucket: positiveInteger.optional(),
  transform: z
    .union([oneOf("train", "evaluation"), anyFunction], { error: '"train", "evaluation" or a function' })
    .optional(),
  preprocessing: preprocessConfig.optional(),
  cropScale: z
    .tuple([cropShare, cropShare], { error: "a pair [least, greatest] of fractions of the area" })
    .refine(([least, most]) => least <= most, { error: "a pair [least, greatest] in ascending order" })
    .optional(),
  tokenizer: tokenizer.optional(),
  text: flag.optional(),
  shuffle: flag.optional(),
  dropLast: flag.optional(),
  epochs: z
    .union([positiveInteger, z.literal(Number.POSITIVE_INFINITY)], {
      error: "an integer of at least 1, or Infinity",
    })
    .optional(),
  concurrency: positiveInteger.optional(),
  prefetch: wholeNumber.max(MOST_BATCHES_AHEAD).optional(),
  onSkip: anyFunction.optional(),
  maxSkips: z
    .union([wholeNumber, z.literal(Number.POSITIVE_INFINITY)], {
      error: "an integer of at least 0, or Infinity",
    })
    .optional(),
  // A cursor is usually read from a file: the loader checks it and reports the wrong field as ERR_EVACLIP_DATA.
  cursor: z.unknown().optional(),
  signal: abortSignal.optional(),
});

/** A checked copy of the options. @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` */
export function ownOptions(dataset: Dataset, given: LoaderOptions): LoaderOptions {
  checkArgument("createLoader: dataset", dataset, datasetArgument);
  const options = ownArgument("createLoader: options", given, OPTIONS);
  if (options.cropScale === undefined || (options.transform ?? "train") === "train") return options;
  throw invalidArgument('createLoader: options.cropScale applies only to the transform "train"');
}
