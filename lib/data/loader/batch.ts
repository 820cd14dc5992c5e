import type { PackedText } from "../../text/pack_text";

/** What a batch remembers of one sample; the image itself is in the batch. */
export interface BatchSample {
  /** Names the sample in its data set: a path, a manifest line, a key of a shard. */
  readonly key: string;
  readonly epoch: number;
  /** Position in the epoch's order. */
  readonly index: number;
  /** Every caption of the sample; the batch holds the tokens of one. */
  readonly captions: readonly string[];
  /** Index of the sample's class, where the data set has classes. */
  readonly label?: number;
}

/** One step's input: B images and B captions. */
export interface Batch extends PackedText {
  /** B, the number of samples. */
  readonly size: number;
  /** [B, S, S, 3] RGB; the patch embedding normalizes them. */
  readonly images: Uint8Array;
  readonly samples: readonly BatchSample[];
}
