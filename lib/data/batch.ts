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

/** Captions of several lengths one after another: cheaper than padded rows and, under causal attention, equal. */
export interface PackedText {
  /** [T] token ids, start and end of text included, then zeros up to a multiple of the bucket. */
  readonly tokens: Int32Array;
  /** [B + 1] where each caption starts; the last entry is the number of real tokens. */
  readonly cuSeqlens: Int32Array;
  /** [B] position of each caption's end of text. */
  readonly textEnds: Int32Array;
}

/** One step's input: B images and B captions. */
export interface Batch extends PackedText {
  /** B, the number of samples. */
  readonly size: number;
  /** [B, S, S, 3] RGB; the patch embedding normalises. */
  readonly images: Uint8Array;
  readonly samples: readonly BatchSample[];
}
