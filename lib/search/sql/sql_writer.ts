import { stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { describeValue, invalidArgument, shortened } from "../../arguments";
import { Calls } from "../../clip/calls";
import { firstNotFinite, notFinite, squaredLength } from "../../clip/finite";
import { EvaClipError, isEvaClipError } from "../../errors";
import { failAbout } from "../../io/checkpoint_error";
import { makeFolder } from "../../io/make_folder";
import { expectStatement } from "../index_mismatch";
import type { IndexStatement, IndexWriter, NewEntry, Version } from "../index_writer";
import { type RunSql, SqlConnection } from "./connection";
import { createTables, entryValues, INSERT_ENTRY, isEmptyDatabase, PAGE_SIZE, readState } from "./schema";
import { isSqlIndex } from "./sql_store";

/** Versions sent to the database at a time. */
const VERSIONS_AT_ONCE = 2000;

/** Tolerance of the squared length of a unit vector, above the rounding of bf16. */
const UNIT_TOLERANCE = 0.05;

const SETUP = [
  PAGE_SIZE,
  "pragma synchronous = normal",
  "pragma cache_size = -65536",
  "pragma temp_store = memory",
];

/** Writes an SQL index: appended entries are kept at once, in transactions, and readers see them after `commit`. */
export class SqlWriter implements IndexWriter {
  readonly #calls = new Calls("the index writer");
  #disposed: Promise<void> | undefined;

  private constructor(
    private readonly connection: SqlConnection,
    private readonly statement: IndexStatement,
  ) {}

  /**
   * Creates an index, or continues one.
   * @throws EvaClipError `ERR_EVACLIP_INDEX_MISMATCH` for an index of another model, length or root;
   *   `ERR_EVACLIP_CHECKPOINT_UNSUPPORTED` for a file that is no index; `ERR_EVACLIP_IO`, `ERR_EVACLIP_DISK_FULL`
   */
  static async open(given: string, statement: IndexStatement): Promise<SqlWriter> {
    const path = resolve(given);
    await makeFolder(dirname(path));
    const found = await stat(path).catch(() => undefined);
    // A killed process may leave an empty file.
    if (found && found.size > 0 && !(await isSqlIndex(path))) {
      throw failAbout(path)("UNSUPPORTED", "is not an SQLite database; choose another file, or remove it");
    }
    const connection = new SqlConnection(path, SETUP);
    try {
      await connection.exclusive(async (run) => {
        // Another program's database must not be changed.
        if (!(await isEmptyDatabase(run))) await readState(path, run);
        await run("pragma journal_mode = wal");
      });
      await connection.transaction("immediate", async (run) => {
        if (await isEmptyDatabase(run)) await createTables(run, statement);
        else expectStatement(path, await readState(path, run), statement);
      });
      return new SqlWriter(connection, statement);
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  async has({ source, version }: Version): Promise<boolean> {
    return this.#calls.run(() =>
      this.connection.exclusive(async (run) => {
        const sql = "select 1 from entries where source = ? and version = ? limit 1";
        return (await run(sql, [source, version])).length > 0;
      }),
    );
  }

  async append(entries: readonly NewEntry[], vectors: Float32Array): Promise<void> {
    checkRows(entries, vectors, this.statement.dimensions);
    if (entries.length === 0) return;
    const rows = new Uint8Array(vectors.slice().buffer);
    const fields = new Set(entries.flatMap(({ metadata }) => Object.keys(metadata)));
    await this.#calls.run(() =>
      this.connection.transaction("immediate", async (run) => {
        const { committed } = await readState(this.connection.path, run);
        const staged = "select id from entries where source = ? and id > ?";
        const sources = entries.map(({ source }) => [source, BigInt(committed)]);
        await run(`delete from vectors where id in (${staged})`, ...sources);
        await run(`delete from entries where id in (${staged})`, ...sources);
        const [[last] = []] = await run("select coalesce(max(id), 0) from entries");
        const idOf = (i: number) => Math.max(Number(last), committed) + 1 + i;
        await run(INSERT_ENTRY, ...entries.map((entry, i) => entryValues(idOf(i), entry)));
        const bytes = rows.byteLength / entries.length;
        const rowOf = (i: number) => rows.subarray(i * bytes, (i + 1) * bytes);
        await run("insert into vectors values (?, ?)", ...entries.map((_, i) => [BigInt(idOf(i)), rowOf(i)]));
        if (fields.size > 0)
          await run("insert or ignore into fields values (?)", ...[...fields].map((name) => [name]));
      }),
    );
  }

  async commit(images: readonly Version[]): Promise<number> {
    const repeated = firstRepeated(images);
    if (repeated !== undefined) throw invalidArgument(`commit: images lists ${shortened(repeated)} twice`);
    return this.#calls.run(() =>
      this.connection.transaction("immediate", async (run) => {
        await run("create temp table wanted (source text primary key, version text not null) without rowid");
        for (let i = 0; i < images.length; i += VERSIONS_AT_ONCE) {
          const some = images.slice(i, i + VERSIONS_AT_ONCE);
          await run(
            "insert into wanted values (?, ?)",
            ...some.map(({ source, version }) => [source, version]),
          );
        }
        await this.#checkHas(run);
        const [[removed] = []] = await run(`select count(*) from entries e, state where e.id <= committed
          and not exists (select 1 from wanted w where w.source = e.source)`);
        await this.#replaceEntries(run);
        await run(
          `update state set model = ?, committed = (select coalesce(max(id), 0) from entries),
            size = (select count(*) from entries)`,
          [this.statement.model],
        );
        await run("drop table wanted");
        return Number(removed);
      }),
    );
  }

  dispose(): Promise<void> {
    this.#disposed ??= this.#close();
    return this.#disposed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #checkHas(run: RunSql): Promise<void> {
    const [missing] = await run(`select w.source from wanted w where not exists
      (select 1 from entries e where e.source = w.source and e.version = w.version) limit 1`);
    if (missing)
      throw invalidArgument(
        `commit: the index does not have ${shortened(String(missing[0]))} in this version`,
      );
  }

  /** Deletes what is not wanted; an entry that replaces another takes its id. */
  async #replaceEntries(run: RunSql): Promise<void> {
    await run(`create temp table replaced as select n.id as new, o.id as old from state, wanted w
      join entries n on n.source = w.source and n.version = w.version and n.id > committed
      join entries o on o.source = w.source and o.id <= committed`);
    await run(`create temp table gone as select old as id from replaced union select e.id from entries e where not exists
      (select 1 from wanted w where w.source = e.source and w.version = e.version)`);
    for (const table of ["entries", "vectors"]) {
      await run(`delete from ${table} where id in (select id from gone)`);
      await run(`update ${table} set id = r.old from replaced r where ${table}.id = r.new`);
    }
    await run("drop table replaced");
    await run("drop table gone");
  }

  async #close(): Promise<void> {
    await this.#calls.close();
    await this.connection.exclusive(async (run) => {
      // As one file without -wal and -shm it can be read where nothing can be written. A reader that has it open prevents that.
      await run("pragma busy_timeout = 0");
      await run("pragma journal_mode = delete").catch((error) => {
        if (!isEvaClipError(error, "ERR_EVACLIP_IO")) throw error;
      });
    });
    await this.connection.close();
  }
}

function firstRepeated(images: readonly Version[]): string | undefined {
  const seen = new Set<string>();
  for (const { source } of images) {
    if (seen.has(source)) return source;
    seen.add(source);
  }
  return undefined;
}

function checkRows(entries: readonly NewEntry[], vectors: Float32Array, columns: number): void {
  if (vectors.length !== entries.length * columns) {
    const message = `append: vectors must be [${entries.length}, ${columns}], found ${vectors.length} numbers`;
    throw new EvaClipError("ERR_EVACLIP_SHAPE", message, {
      expected: entries.length * columns,
      actual: vectors.length,
    });
  }
  const repeated = firstRepeated(entries);
  if (repeated !== undefined) throw invalidArgument(`append: entries lists ${shortened(repeated)} twice`);
  for (const [i, { source, metadata }] of entries.entries()) {
    const row = vectors.subarray(i * columns, (i + 1) * columns);
    const bad = firstNotFinite(row);
    if (bad >= 0)
      throw notFinite(`append: the vector of ${shortened(source)} holds ${row[bad]}`, { index: i });
    const squares = squaredLength(row);
    if (Math.abs(squares - 1) > UNIT_TOLERANCE) {
      throw invalidArgument(
        `append: the vector of ${shortened(source)} has length ${Math.sqrt(squares).toPrecision(6)}, expected 1`,
      );
    }
    for (const [name, value] of Object.entries(metadata)) {
      if (value === null || ["string", "boolean"].includes(typeof value) || Number.isFinite(value)) continue;
      const found = describeValue(value);
      throw invalidArgument(
        `append: ${shortened(name)} of ${shortened(source)} must be text, a finite number, true, false or null, found ${found}`,
      );
    }
  }
}
