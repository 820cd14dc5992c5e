import type { Entry, VectorStore } from "../vector_store";

/** Consecutive entries of an index, in the order of their ids, which ascend. */
export interface ExportBatch {
  /** The id of the entry before the first, or -1. */
  readonly after: number;
  readonly entries: readonly Entry[];
  /** [E] each */
  readonly vectors: readonly Float32Array[];
}

/** Where `exportIndex` copies an index to. */
export interface ExportTarget {
  /** For messages, such as `the collection birds of http://localhost:6333`. */
  readonly name: string;
  /** Numbers of vectors in a batch unless the caller asks for another size. */
  readonly numbersAtOnce: number;
  /**
   * Creates what is missing, then adds every entry, or overwrites the one with the same id. A batch is stored before the next
   * is asked for.
   * @throws EvaClipError `ERR_EVACLIP_EXPORT`, `ERR_EVACLIP_PACKAGE_MISSING`; what `batches` throws
   */
  write(index: VectorStore, batches: AsyncIterable<ExportBatch>): Promise<void>;
}

/** Turning more numbers into text at a time would hold the event loop. */
export const NUMBERS_OF_TEXT = 1 << 16;

/** Numbers that are copied as they are: 4 MB. */
export const NUMBERS_OF_BYTES = 1 << 20;
