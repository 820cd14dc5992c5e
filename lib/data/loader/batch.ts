import type { PackedText } from "../../text/pack_text";

/** Metadata of one sample of a batch. */
export interface BatchSample {
  /** Identifies the sample in its data set: a path, a manifest line, a key of a shard. */
  readonly key: string;
  readonly epoch: number;
  /** Position in the epoch's order. */
  readonly index: number;
  /** All captions of the sample; the batch holds the tokens of one. */
  readonly captions: readonly string[];
  /** Class index, if the data set has classes. */
  readonly label?: number;
}

/** The input of one training step: B images and B captions. */
export interface Batch extends PackedText {
  /** B, the number of samples. */
  readonly size: number;
  /** [B, S, S, 3] RGB; normalized by the patch embedding. */
  readonly images: Uint8Array;
  readonly samples: readonly BatchSample[];
}
