import type { ImageInput } from "../image/decode";

/** Plain JSON, so that a cursor survives a checkpoint. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** An image and what is written about it. */
export interface SampleContent {
  readonly image: ImageInput;
  /** Alternative captions; training takes one at random. */
  readonly captions: readonly string[];
}

/** One sample of an epoch; its content is read only when asked for, so that reading can overlap. */
export interface Sample {
  /** Names the sample in its data set. */
  readonly key: string;
  readonly epoch: number;
  /** Position in the epoch's order. */
  readonly index: number;
  readonly label?: number;
  /** Where an epoch that stopped after this sample goes on. */
  readonly next: Json;
  /** Throws SampleError when the sample cannot be used; the loader counts and skips it. */
  read(): Promise<SampleContent>;
}

/** Which epoch to read, in which order, and from where. */
export interface EpochRequest {
  readonly seed: number;
  readonly epoch: number;
  readonly shuffle: boolean;
  /** `next` of the last sample used; left out, the epoch starts at its beginning. */
  readonly position?: Json;
}

/**
 * A data set describes samples and keeps no state of a run: the samples of an epoch and their order are a function of
 * the request alone, which is what makes a resumed run exact.
 */
export interface Dataset {
  /** Samples of an epoch, where it is known without reading them. */
  readonly size?: number;
  /** Class names, indexed by `Sample.label`. */
  readonly classes?: readonly string[];
  /** @throws EvaClipError `ERR_EVACLIP_DATA`, at once, for a position that is not one of this data set */
  open(request: EpochRequest): AsyncIterable<Sample>;
}

/** A sample that can be reached by its number. */
export interface IndexedSample {
  readonly key: string;
  readonly label?: number;
  read(): Promise<SampleContent>;
}

/** A data set whose samples can be reached in any order: shuffling it is a permutation of the numbers below `size`. */
export interface IndexedSource {
  readonly size: number;
  readonly classes?: readonly string[];
  at(index: number): IndexedSample;
}
