import type { ImageInput } from "../image/decode";

/** Plain JSON, so that a cursor can be stored in a checkpoint. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** An image and its captions. */
export interface SampleContent {
  readonly image: ImageInput;
  /** Alternative captions; training takes one at random. */
  readonly captions: readonly string[];
  /** Other facts of the sample, where the data set was opened with `annotations: "all"`. */
  readonly metadata?: Metadata;
}

/** What a data set reads with each image: its captions, which it must have, or all that is known, which may be nothing. */
export type Annotations = "captions" | "all";

/** Values by name: the other columns of a manifest, or the fields of a shard's .json members. */
export type Metadata = Readonly<Record<string, string | number | boolean | null>>;

/** One sample of an epoch; `read` loads its content lazily, so that reads can overlap. */
export interface Sample {
  /** Identifies the sample in its data set. */
  readonly key: string;
  readonly epoch: number;
  /** Position in the epoch's order. */
  readonly index: number;
  readonly label?: number;
  /** `EpochRequest.position` to resume the epoch after this sample. */
  readonly next: Json;
  /** @throws SampleError if the sample is unusable; the loader counts and skips it */
  read(): Promise<SampleContent>;
}

/** The epoch to read, its order, and the position to start from. */
export interface EpochRequest {
  readonly seed: number;
  readonly epoch: number;
  readonly shuffle: boolean;
  /** `next` of the last sample used. Default: the beginning of the epoch. */
  readonly position?: Json;
}

/**
 * A data set is stateless: the samples of an epoch and their order are a function of the request alone, which makes
 * resuming exact.
 */
export interface Dataset {
  /** Number of samples in an epoch, if known without reading them. */
  readonly size?: number;
  /** Class names, indexed by `Sample.label`. */
  readonly classes?: readonly string[];
  /** @throws EvaClipError `ERR_EVACLIP_DATA`, synchronously, for a position that is not from this data set */
  open(request: EpochRequest): AsyncIterable<Sample>;
}

/** A sample of an `IndexedSource`. */
export interface IndexedSample {
  readonly key: string;
  readonly label?: number;
  read(): Promise<SampleContent>;
}

/** A random-access source of samples; shuffling permutes the indices 0 … size - 1. */
export interface IndexedSource {
  readonly size: number;
  readonly classes?: readonly string[];
  at(index: number): IndexedSample;
}
