import type { Entry } from "./vector_store";

/** What all vectors of an index have in common; a build continues an index only if this is equal, except for `model`. */
export interface IndexStatement {
  /** The model's path or name, for those who search the index. */
  readonly model: string;
  /** `modelFingerprint` of the model. */
  readonly fingerprint: string;
  /** Length E of the vectors, which have unit length. */
  readonly dimensions: number;
  /** Folder that sources are relative to, absolute. */
  readonly root: string;
}

/** A state of an image: its source, and a hash of everything that its entry is made from. */
export interface Version {
  readonly source: string;
  readonly version: string;
}

/** An entry to write; its id is given by the index. */
export interface NewEntry extends Omit<Entry, "id">, Version {}

/**
 * The index that a build writes into. What `append` has written outlives a killed process: the writer opened after it has
 * these entries. Readers see them after `commit`.
 */
export interface IndexWriter extends AsyncDisposable {
  /** Whether the index, or what was appended to it, has the image in this version. */
  has(image: Version): Promise<boolean>;
  /** @param vectors [entries, E]; an entry replaces one of the same source */
  append(entries: readonly NewEntry[], vectors: Float32Array): Promise<void>;
  /**
   * Makes the index hold exactly these images, in this order, and visible to readers.
   * @param images without duplicate sources; `has` is true for each
   * @returns the number of entries of the index that were removed because their source is not among the images
   */
  commit(images: readonly Version[]): Promise<number>;
  /** Without `commit`: keeps what was appended for the next writer. */
  dispose(): Promise<void>;
}
