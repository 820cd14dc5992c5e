import { Calls } from "../../clip/calls";
import { ownVectors } from "../../clip/vectors";
import { Device } from "../../device";
import type { OpenIndexOptions } from "../search_arguments";
import type { FloatDtype } from "../../io/tensor_source";
import { corrupt } from "../../io/checkpoint_error";
import { firstNotFinite } from "../../clip/finite";
import { nearestArguments } from "../search_arguments";
import { EntryTable } from "../sql/entry_table";
import type { Entry, Match, NearestOptions, VectorStore } from "../vector_store";
import { type IndexFile, openIndexFile, readEntry } from "./index_file";
import { scan } from "./scan";

/** Rows that `vectors` reads at a time. */
const ROWS_AT_ONCE = 256;

/** An index that is searched by comparing each query with every vector. */
export class ExactIndex implements VectorStore {
  readonly #calls = new Calls("the index");
  #device: Promise<Device> | undefined;
  /** Conditions are evaluated by SQL, as those of an index in a database. */
  readonly #table = new EntryTable(() => this.#entries());
  #disposed: Promise<void> | undefined;

  private constructor(
    private readonly index: IndexFile,
    private readonly options: OpenIndexOptions,
  ) {}

  /** @throws EvaClipError as `openIndex` */
  static async open(path: string, options: OpenIndexOptions = {}): Promise<ExactIndex> {
    return new ExactIndex(await openIndexFile(path), options);
  }

  get path(): string {
    return this.index.file.path;
  }

  get size(): number {
    return this.index.vectors.shape[0]!;
  }

  get dimensions(): number {
    return this.index.statement.dimensions;
  }

  get model(): string {
    return this.index.statement.model;
  }

  get fingerprint(): string {
    return this.index.statement.fingerprint;
  }

  get root(): string {
    return this.index.statement.root;
  }

  async nearest(queries: readonly Float32Array[], options: NearestOptions = {}): Promise<Match[][]> {
    const { count, where, signal } = nearestArguments(options);
    const rows = ownVectors("nearest: queries", queries, this.dimensions);
    return this.#calls.run(async () => {
      this.#device ??= Device.open("cpu", this.options);
      const allowed = where === undefined ? undefined : await this.#allowed(where, signal);
      const device = await this.#device;
      const found = await scan(device, this.index.vectors, rows, { count, allowed, signal });
      return found.map((best) => best.map(({ id, similarity }) => ({ ...this.#entry(id), similarity })));
    }, signal);
  }

  async entry(id: number): Promise<Entry | undefined> {
    return this.#calls.run(async () => (this.#has(id) ? this.#entry(id) : undefined));
  }

  async vector(id: number): Promise<Float32Array | undefined> {
    return this.#calls.run(async () => (this.#has(id) ? this.#rows(id, 1) : undefined));
  }

  async *vectors(): AsyncGenerator<{ entry: Entry; vector: Float32Array }> {
    const { dimensions } = this;
    for (let first = 0; first < this.size; first += ROWS_AT_ONCE) {
      const count = Math.min(ROWS_AT_ONCE, this.size - first);
      const rows = await this.#calls.run(async () => this.#rows(first, count));
      for (let i = 0; i < count; i++) {
        const vector = rows.slice(i * dimensions, (i + 1) * dimensions);
        yield { entry: await this.#calls.run(async () => this.#entry(first + i)), vector };
      }
    }
  }

  dispose(): Promise<void> {
    this.#disposed ??= this.#release();
    return this.#disposed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #release(): Promise<void> {
    await this.#calls.close();
    await this.#table.dispose();
    await this.index.file.close();
    await (await this.#device?.catch(() => undefined))?.dispose();
  }

  /** A bit per entry that a condition is true of, the lowest first. */
  async #allowed(where: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const ids = await this.#table.matching(where, signal);
    const bits = new Uint8Array(Math.ceil(this.size / 8));
    for (const id of ids) bits[id >> 3]! |= 1 << (id & 7);
    return bits;
  }

  #has(id: number): boolean {
    return Number.isInteger(id) && id >= 0 && id < this.size;
  }

  *#entries(): Generator<Entry> {
    for (let id = 0; id < this.size; id++) yield this.#entry(id);
  }

  #entry(id: number): Entry {
    const { source, caption, metadata } = readEntry(this.index, id);
    return { id, source, ...(caption !== undefined && { caption }), metadata };
  }

  /** → [count, E] */
  #rows(first: number, count: number): Float32Array {
    const { file, offset, shape, strides, dtype } = this.index.vectors;
    const rows = new Float32Array(count * this.dimensions);
    const view = { file: file.native, dtype: dtype as FloatDtype, offset, shape, strides };
    file.native.read(view, first * this.dimensions, rows);
    const bad = firstNotFinite(rows);
    if (bad < 0) return rows;
    const row = first + Math.floor(bad / this.dimensions);
    throw corrupt(this.path, `is a broken index: vector ${row} holds ${rows[bad]}`, { row });
  }
}
