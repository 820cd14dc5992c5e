import { unlink } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import { LockFile } from "../../io/lock_file";
import { exists } from "../../io/model_path";
import { type TensorToWrite, writeSafetensors } from "../../io/safetensors";
import type { IndexStatement, IndexWriter, NewEntry, Version } from "../index_writer";
import { Contents } from "./contents";
import { metadataOf, type Place } from "./index_file";
import { Journal } from "./journal";

/** How vectors are stored: 16 bits halve the file and the time of a search. */
export type VectorStorage = "f32" | "f16" | "bf16";

const DTYPES = { f32: "F32", f16: "F16", bf16: "BF16" } as const;
/** Entries written at a time. */
const ENTRIES_AT_ONCE = 1024;

export interface ExactWriterOptions {
  /** Default `f32`. */
  readonly storage?: VectorStorage;
  /** Indexes and journals (`.journal`) whose entries count as appended; those that do not exist are ignored. */
  readonly more?: readonly string[];
}

/** The journal of a build of the index at `path`. */
export const journalOf = (path: string) => `${path}${JOURNAL}`;
const JOURNAL = ".journal";

/** Writes an exact index: entries are collected in a journal, and `commit` replaces the index by a whole one. */
export class ExactWriter implements IndexWriter {
  private constructor(
    private readonly path: string,
    private readonly statement: IndexStatement,
    private readonly storage: VectorStorage,
    private readonly lock: LockFile,
    /** Sources of the index that the commit replaces. */
    private readonly replaced: readonly string[],
    private readonly earlier: Contents,
    private readonly journal: Journal,
  ) {}

  /**
   * Creates an index, or continues one.
   * @throws EvaClipError `ERR_EVACLIP_INDEX_MISMATCH` for one of another model or root; `ERR_EVACLIP_RUN_ACTIVE` while
   *   another process writes it; `ERR_EVACLIP_IO`
   */
  static async open(
    path: string,
    statement: IndexStatement,
    { storage = "f32", more = [] }: ExactWriterOptions = {},
  ): Promise<ExactWriter> {
    const rule = "two builds cannot write one index";
    const lock = await LockFile.take(`${path}.lock`, { path, rule });
    const earlier = new Contents();
    const replaced: string[] = [];
    try {
      for (const each of [path, ...more]) {
        if (!(await exists(each))) continue;
        if (each.endsWith(JOURNAL)) await earlier.addJournal(each, statement);
        else await earlier.addIndex(each, statement);
        if (each === path) for (const source of earlier.sources()) replaced.push(source);
      }
      const journal = await Journal.open(journalOf(path), statement);
      return new ExactWriter(path, statement, storage, lock, replaced, earlier, journal);
    } catch (error) {
      earlier[Symbol.dispose]();
      await lock.release();
      throw error;
    }
  }

  async has(image: Version): Promise<boolean> {
    return (
      this.journal.versions.get(image.source) === image.version || this.earlier.find(image) !== undefined
    );
  }

  async append(entries: readonly NewEntry[], vectors: Float32Array): Promise<void> {
    await this.journal.append(entries, vectors);
  }

  /** @param listing recorded in the file: see `IndexFile.listing` */
  async commit(images: readonly Version[], listing?: string): Promise<number> {
    using contents = new Contents();
    await contents.addJournal(journalOf(this.path), this.statement);
    const places = images.map((image) => contents.find(image) ?? this.earlier.find(image)!);
    await writeSafetensors(this.path, this.#tensors(places), metadataOf(this.statement, listing));
    await unlink(journalOf(this.path));
    const sources = new Set(images.map(({ source }) => source));
    return this.replaced.filter((source) => !sources.has(source)).length;
  }

  async dispose(): Promise<void> {
    await this.journal.close();
    this.earlier[Symbol.dispose]();
    await this.lock.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  #tensors(places: readonly Place[]): TensorToWrite[] {
    const { dimensions } = this.statement;
    const lines = new BigInt64Array(places.length + 1);
    for (const [i, { lineBytes }] of places.entries()) lines[i + 1] = lines[i]! + BigInt(lineBytes);
    return [
      { name: "lines", dtype: "I64", shape: [lines.length], data: lines },
      {
        name: "vectors",
        dtype: DTYPES[this.storage],
        from: "F32",
        shape: [places.length, dimensions],
        data: () => vectorsAt(places, dimensions),
      },
      { name: "entries", dtype: "U8", shape: [Number(lines.at(-1))], data: () => linesAt(places) },
    ];
  }
}

/** The vectors [n, E] of some entries at a time. */
async function* vectorsAt(places: readonly Place[], columns: number): AsyncGenerator<Float32Array> {
  for (let first = 0; first < places.length; first += ENTRIES_AT_ONCE) {
    const some = places.slice(first, first + ENTRIES_AT_ONCE);
    const vectors = new Float32Array(some.length * columns);
    for (const [i, { file, dtype, vectorAt }] of some.entries()) {
      const view = { file: file.native, dtype, offset: vectorAt, shape: [columns], strides: [1] };
      file.native.read(view, 0, vectors.subarray(i * columns, (i + 1) * columns));
    }
    yield vectors;
    await setImmediate();
  }
}

async function* linesAt(places: readonly Place[]): AsyncGenerator<Buffer> {
  for (let first = 0; first < places.length; first += ENTRIES_AT_ONCE) {
    const some = places.slice(first, first + ENTRIES_AT_ONCE);
    yield Buffer.concat(some.map(({ file, lineAt, lineBytes }) => file.bytes(lineAt, lineAt + lineBytes)));
    await setImmediate();
  }
}
