import { open } from "node:fs/promises";
import { resolve } from "node:path";
import { checkArgument, wholeNumber } from "../../arguments";
import { Calls } from "../../clip/calls";
import { squaredLength } from "../../clip/finite";
import { ownVectors, splitRows } from "../../clip/vectors";
import { EvaClipError, isEvaClipError } from "../../errors";
import { failAbout } from "../../io/checkpoint_error";
import { nearestArguments } from "../search_arguments";
import type { Entry, Match, NearestOptions, VectorStore } from "../vector_store";
import { type Condition, conditionError, readCondition } from "./condition";
import { type RunSql, SqlConnection } from "./connection";
import type { SqlValue } from "./database_process";
import { ENTRY, type IndexState, readEntry, readFields, readState, readVector } from "./schema";

/** Numbers that one statement compares, about 25 ms: an aborted call ends between two statements. */
const NUMBERS_AT_ONCE = 8_000_000;

/** Rows that `vectors` reads at a time. */
const ROWS_AT_ONCE = 256;

const MAGIC = "SQLite format 3\0";

/** Whether a file begins as an SQLite database does. @throws EvaClipError `ERR_EVACLIP_IO` */
export async function isSqlIndex(path: string): Promise<boolean> {
  try {
    await using file = await open(path);
    const { buffer } = await file.read(Buffer.alloc(MAGIC.length), 0, MAGIC.length, 0);
    return buffer.toString("latin1") === MAGIC;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new EvaClipError("ERR_EVACLIP_IO", `cannot read ${path}: ${message}`, { path, cause: code });
  }
}

/** An index in an SQLite database: entries are filtered by SQL, and a build changes it while it is searched. */
export class SqlStore implements VectorStore {
  readonly #calls = new Calls("the index");
  readonly #connection: SqlConnection;
  #state: IndexState;
  #disposed: Promise<void> | undefined;

  private constructor(connection: SqlConnection, state: IndexState) {
    this.#connection = connection;
    this.#state = state;
  }

  /** @throws EvaClipError as `openIndex` */
  static async open(given: string): Promise<SqlStore> {
    const path = resolve(given);
    if (!(await isSqlIndex(path))) throw failAbout(path)("UNSUPPORTED", "is not an SQLite database");
    const connection = new SqlConnection(path, ["pragma query_only = 1"]);
    try {
      const state = await connection.exclusive((run) => readState(path, run));
      return new SqlStore(connection, state);
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  get path(): string {
    return this.#connection.path;
  }

  /** Number of entries, as of the latest call. */
  get size(): number {
    return this.#state.size;
  }

  get dimensions(): number {
    return this.#state.dimensions;
  }

  get model(): string {
    return this.#state.model;
  }

  get fingerprint(): string {
    return this.#state.fingerprint;
  }

  get root(): string {
    return this.#state.root;
  }

  async nearest(queries: readonly Float32Array[], options: NearestOptions = {}): Promise<Match[][]> {
    const { count, where, signal } = nearestArguments(options);
    const rows = ownVectors("nearest: queries", queries, this.dimensions);
    const vectors = splitRows(rows, queries.length);
    return this.#reading(async (run) => {
      const condition = where === undefined ? undefined : await this.#condition(run, where);
      try {
        return await this.#matches(run, vectors, count, condition);
      } catch (error) {
        // For example a pattern of LIKE that is too complex.
        if (where === undefined || !isEvaClipError(error, "ERR_EVACLIP_INTERNAL")) throw error;
        throw conditionError(where, error);
      }
    }, signal);
  }

  async entry(id: number): Promise<Entry | undefined> {
    checkArgument("entry: id", id, wholeNumber);
    return this.#reading(async (run) => (await this.#entries(run, [id])).get(id));
  }

  async vector(id: number): Promise<Float32Array | undefined> {
    checkArgument("vector: id", id, wholeNumber);
    return this.#reading(async (run) => {
      if (id > this.#state.committed) return undefined;
      const [row] = await run("select vector from vectors where id = ?", [BigInt(id)]);
      return row && readVector(this.path, id, row[0], this.dimensions);
    });
  }

  async *vectors(): AsyncGenerator<{ entry: Entry; vector: Float32Array }> {
    const page = `select e.id, ${ENTRY}, v.vector from entries e join vectors v on v.id = e.id
      where e.id > ? and e.id <= ? order by e.id limit ${ROWS_AT_ONCE}`;
    for (let last = -1; ; ) {
      const rows = await this.#reading((run) => run(page, [BigInt(last), BigInt(this.#state.committed)]));
      for (const [id, text, blob] of rows) {
        const entry = readEntry(this.path, id, text);
        last = entry.id;
        yield { entry, vector: readVector(this.path, id, blob, this.dimensions) };
      }
      if (rows.length < ROWS_AT_ONCE) return;
    }
  }

  dispose(): Promise<void> {
    this.#disposed ??= this.#calls.close().then(() => this.#connection.close());
    return this.#disposed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  /** Runs `work` as one call on one state of the index, whatever a build commits meanwhile. */
  async #reading<T>(work: (run: RunSql) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const running = async () =>
      this.#connection.transaction(
        "deferred",
        async (run) => {
          this.#state = await readState(this.path, run);
          return work(run);
        },
        signal,
      );
    return this.#calls.run(running, signal);
  }

  /** The SQL of a condition, which SQLite has parsed. */
  async #condition(run: RunSql, where: string): Promise<Condition> {
    const condition = readCondition(where, await readFields(run));
    try {
      await run(`select 1 from entries e where ${condition.sql} limit 0`, condition.values);
    } catch (error) {
      if (!isEvaClipError(error, "ERR_EVACLIP_INTERNAL")) throw error;
      throw conditionError(where, error);
    }
    return condition;
  }

  async #matches(
    run: RunSql,
    queries: readonly Float32Array[],
    count: number,
    condition: Condition | undefined,
  ): Promise<Match[][]> {
    const best = await this.#scan(run, queries, count, condition);
    const ids = new Set(best.flat().map(({ id }) => id));
    const entries = await this.#entries(run, [...ids]);
    return best.map((list) =>
      list.map(({ id, similarity }) => {
        const entry = entries.get(id);
        if (!entry) throw failAbout(this.path)("CORRUPT", `is a broken index: vector ${id} has no entry`);
        return { ...entry, similarity };
      }),
    );
  }

  /** The best of every query, by a scan in parts. */
  async #scan(run: RunSql, queries: readonly Float32Array[], count: number, condition?: Condition) {
    const { committed, dimensions } = this.#state;
    const part = Math.ceil(NUMBERS_AT_ONCE / dimensions);
    const sql = scanStatement(condition);
    // Stored vectors have unit length.
    const lengths = queries.map((query) => Math.sqrt(squaredLength(query)));
    const best = queries.map((): { id: number; similarity: number }[] => []);
    for (let last = -1; ; ) {
      const [[next] = []] = await run("select min(id) from vectors where id > ?", [BigInt(last)]);
      if (next === null || Number(next) > committed) return best;
      const first = Number(next);
      last = Math.min(first + part - 1, committed);
      for (const [i, query] of queries.entries()) {
        const range = [BigInt(first), BigInt(last)];
        const limit = BigInt(Math.min(count, part));
        const rows = await run(sql, [bytesOf(query), ...range, ...(condition?.values ?? []), limit]);
        const found = rows.map(([id, distance]) => ({
          id: Number(id),
          similarity: lengths[i]! * (1 - Number(distance ?? 1)),
        }));
        best[i] = [...best[i]!, ...found]
          .sort((a, b) => b.similarity - a.similarity || a.id - b.id)
          .slice(0, count);
      }
    }
  }

  async #entries(run: RunSql, ids: readonly number[]): Promise<Map<number, Entry>> {
    const entries = new Map<number, Entry>();
    const sql = `select e.id, ${ENTRY} from entries e where e.id <= ${this.#state.committed}
      and e.id in (select value from json_each(?))`;
    for (let i = 0; i < ids.length; i += ROWS_AT_ONCE) {
      const some = JSON.stringify(ids.slice(i, i + ROWS_AT_ONCE));
      for (const [id, text] of await run(sql, [some]))
        entries.set(Number(id), readEntry(this.path, id, text));
    }
    return entries;
  }
}

/** Values: the query, the first and last id, those of the condition, the number of rows. A zero query has distance null. */
function scanStatement(condition: Condition | undefined): string {
  const distance = "vector_distance_cos(v.vector, ?) as distance";
  const order = "order by distance, v.id limit ?";
  if (!condition) return `select v.id, ${distance} from vectors v where v.id between ? and ? ${order}`;
  return `select e.id, ${distance} from entries e join vectors v on v.id = e.id
    where e.id between ? and ? and ${condition.sql} ${order}`;
}

function bytesOf(vector: Float32Array): SqlValue {
  return new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
}
