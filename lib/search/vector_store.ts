/** A value that an entry can be filtered by. */
export type MetadataValue = string | number | boolean | null;

/** An image of an index. */
export interface Entry {
  /** Its row in this version of the index; another build may number entries differently. */
  readonly id: number;
  /** Path of the image relative to `root`, or `shard.tar#key` for a sample of a shard. */
  readonly source: string;
  readonly caption?: string;
  /** What the build knows of the image: class, width, height, size, mtime, and the columns of a manifest. */
  readonly metadata: Readonly<Record<string, MetadataValue>>;
}

/** An entry and its similarity to a query: the dot product of their embeddings, a cosine for vectors of unit length. */
export interface Match extends Entry {
  readonly similarity: number;
}

export interface NearestOptions {
  /** Matches per query, fewer if the index has fewer entries. Default 10. */
  readonly count?: number;
  /** A condition in SQL over the metadata, `source` and `caption`: `class = 'bird' and width > 300`. */
  readonly where?: string;
  /** Ends the call: it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** An open index: embeddings of images that are searched by vector. */
export interface VectorStore extends AsyncDisposable {
  readonly path: string;
  /** Number of entries. */
  readonly size: number;
  /** Length E of its vectors. */
  readonly dimensions: number;
  /** The model that embedded the images: a path or a name that `EvaClip.load` takes. */
  readonly model: string;
  /** Fingerprint of that model's weights and preprocessing (`modelFingerprint`). */
  readonly fingerprint: string;
  /** Folder that the sources of entries are relative to. */
  readonly root: string;
  /**
   * The entries most similar to each query, best first; ties in the order of their ids.
   * @param queries [E] each
   * @throws EvaClipError `ERR_EVACLIP_SHAPE` for a vector of another length; `ERR_EVACLIP_NOT_FINITE` for one that holds
   *   NaN or infinity; `ERR_EVACLIP_INVALID_ARGUMENT` for a condition that cannot be evaluated; `ERR_EVACLIP_IO`
   */
  nearest(queries: readonly Float32Array[], options?: NearestOptions): Promise<Match[][]>;
  /** The entry with an id, undefined if there is none. */
  entry(id: number): Promise<Entry | undefined>;
  /** The vector [E] of the entry with an id, undefined if there is none. */
  vector(id: number): Promise<Float32Array | undefined>;
  /** Every entry and its vector [E], in the order of ids. */
  vectors(): AsyncIterable<{ entry: Entry; vector: Float32Array }>;
  /** Waits for pending calls, rejects later ones, and closes the file. Idempotent. */
  dispose(): Promise<void>;
}
