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

/** Makes RGB [size, size, 3] of an image; every random choice must come from `random`, which is the sample's own. */
export type ImageTransform = (image: ImageInput, size: number, random: CounterRandom) => Promise<Uint8Array>;

/** A sample that was left out, and why. */
export interface Skip {
  readonly reason: SkipReason;
  readonly key: string;
  readonly message: string;
}

export interface LoaderOptions {
  readonly batchSize: number;
  /** Pixels of an image's side. */
  readonly imageSize: number;
  /** Chooses the order, the crops and the captions. Default 0. */
  readonly seed?: number;
  /** Most tokens of a caption. Default 77. */
  readonly contextLength?: number;
  /** Packed text is filled up to a multiple of this many tokens. Default 256. */
  readonly textBucket?: number;
  /** `train` (random resized crop, the default), `evaluation` (center crop) or one's own. */
  readonly transform?: "train" | "evaluation" | ImageTransform;
  /** What the model's images go through (`model.preprocessing`), for the transforms given by name. Default CLIP's. */
  readonly preprocessing?: Preprocessing;
  /** Least and greatest share of the area that `train` keeps. Default [0.9, 1]. */
  readonly cropScale?: readonly [number, number];
  /** Default CLIP's. */
  readonly tokenizer?: Tokenizer;
  /** False leaves captions out, for images alone: the batch's text is empty. */
  readonly text?: boolean;
  /** A random order and a random one of several captions (the default), or the data set's order and the first. */
  readonly shuffle?: boolean;
  /** Leaves out an epoch's last, smaller batch. Default true. */
  readonly dropLast?: boolean;
  /** Epochs to read. Default without end. */
  readonly epochs?: number;
  /** Images in flight at once, at most those of the batches made ready. Default twice the cores. */
  readonly concurrency?: number;
  /** Batches made ready ahead. Default 2. */
  readonly prefetch?: number;
  /**
   * Told of every sample left out, ahead of the batch that would have held it, which waits for it. What it throws, or
   * rejects with, ends the loader.
   */
  readonly onSkip?: (skip: Skip) => unknown;
  /** More skips than this are an error. Default 100 and 5 % of the samples read. */
  readonly maxSkips?: number;
  /** Goes on after the last batch of another loader over the same data set: its `state()`. */
  readonly cursor?: Json;
  readonly signal?: AbortSignal;
}

/** What makes pixels of the loader's images. */
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
  .number({ error: "a share above 0 and up to 1" })
  .max(1)
  .refine((value) => value > 0, { error: "a share above 0 and up to 1" });
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
    .tuple([cropShare, cropShare], { error: "a pair of shares of the area" })
    .refine(([least, most]) => least <= most, { error: "a pair whose first is not above its second" })
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
  // A cursor comes out of a file: the loader says which of its fields is wrong.
  cursor: z.unknown().optional(),
  signal: abortSignal.optional(),
});

/** A copy of the options. Throws ERR_EVACLIP_INVALID_ARGUMENT for those that cannot be. */
export function ownOptions(dataset: Dataset, given: LoaderOptions): LoaderOptions {
  checkArgument("createLoader: dataset", dataset, datasetArgument);
  const options = ownArgument("createLoader: options", given, OPTIONS);
  if (options.cropScale === undefined || (options.transform ?? "train") === "train") return options;
  throw invalidArgument('createLoader: options.cropScale is for the transform "train" alone');
}
