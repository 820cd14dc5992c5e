// The tables of an SQL index. Entries whose id is above `committed` are those of a build that has not committed.
import { z } from "zod";
import { shortened } from "../../arguments";
import type { EvaClipError } from "../../errors";
import { failAbout } from "../../io/checkpoint_error";
import type { IndexStatement, NewEntry } from "../index_writer";
import type { Entry } from "../vector_store";
import type { RunSql } from "./connection";
import type { SqlValue } from "./database_process";

/** "EVAC", where SQLite files state what program they belong to. */
const APPLICATION_ID = 0x45564143;
const VERSION = 1;

/** Rows of 512 numbers leave no gaps in pages of this size. */
export const PAGE_SIZE = "pragma page_size = 32768";

export const ENTRIES_TABLE = `create table entries (id integer primary key, source text not null,
  version text not null, caption text, metadata blob not null)`;

export interface IndexState extends IndexStatement {
  /** The largest id of an entry that readers see. */
  readonly committed: number;
  /** Number of entries that readers see. */
  readonly size: number;
}

const stateRow = z.tuple([
  z.string(),
  z.string(),
  z.bigint().transform(Number).pipe(z.int().min(1)),
  z.string(),
  z.bigint().transform(Number).pipe(z.int().min(0)),
  z.bigint().transform(Number).pipe(z.int().min(0)),
]);

/** Creates the tables of an empty index, in one transaction. */
export async function createTables(run: RunSql, statement: IndexStatement): Promise<void> {
  await run(`pragma application_id = ${APPLICATION_ID}`);
  await run(`pragma user_version = ${VERSION}`);
  await run(ENTRIES_TABLE);
  await run("create index entries_source on entries (source)");
  await run(
    `create table vectors (id integer primary key, vector f32_blob(${statement.dimensions}) not null)`,
  );
  await run("create table fields (name text primary key) without rowid");
  await run(`create table state (model text not null, fingerprint text not null, dimensions integer not null,
    root text not null, committed integer not null, size integer not null)`);
  const { model, fingerprint, dimensions, root } = statement;
  await run("insert into state values (?, ?, ?, ?, 0, 0)", [model, fingerprint, BigInt(dimensions), root]);
}

/** Whether a database has no tables: it is new, or its creation was interrupted. */
export async function isEmptyDatabase(run: RunSql): Promise<boolean> {
  return (await run("select 1 from sqlite_master limit 1")).length === 0;
}

/**
 * The state of an index, after a check that the database is one.
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_UNSUPPORTED` or `_CORRUPT`
 */
export async function readState(path: string, run: RunSql): Promise<IndexState> {
  const fail = failAbout(path);
  const number = async (pragma: string) => Number((await run(`pragma ${pragma}`))[0]![0]);
  if ((await number("application_id")) !== APPLICATION_ID) {
    throw fail("UNSUPPORTED", "is an SQLite database, but not an index of eva-clip");
  }
  const version = await number("user_version");
  if (version !== VERSION) {
    const problem = `is an index of version ${version}, which this version of eva-clip does not read; index the images again`;
    throw fail("UNSUPPORTED", problem, { version });
  }
  const rows = await run("select model, fingerprint, dimensions, root, committed, size from state");
  const { success, data } = stateRow.safeParse(rows[0]);
  if (!success) throw fail("CORRUPT", "is a broken index: its state cannot be read");
  const [model, fingerprint, dimensions, root, committed, size] = data;
  return { model, fingerprint, dimensions, root, committed, size };
}

export async function readFields(run: RunSql): Promise<string[]> {
  return (await run("select name from fields order by name")).map(([name]) => String(name));
}

/** An entry as JSON: libsql ends a text at its first null character, which JSON escapes. */
export const ENTRY = "json_object('source', e.source, 'caption', e.caption, 'metadata', json(e.metadata))";

const storedEntry = z.object({
  source: z.string(),
  caption: z.string().nullable(),
  metadata: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
});

/** The entry of an id and `ENTRY`. @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_CORRUPT` */
export function readEntry(path: string, id: SqlValue | undefined, text: SqlValue | undefined): Entry {
  const number = Number(id);
  try {
    if (!Number.isSafeInteger(number)) throw new RangeError("ids are at most 2^53 - 1");
    const { source, caption, metadata } = storedEntry.parse(JSON.parse(String(text)));
    return { id: number, source, ...(caption !== null && { caption }), metadata };
  } catch {
    throw broken(path, `entry ${id} is ${shortened(String(text))}`);
  }
}

/** The vector [dimensions] of a blob. @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_CORRUPT` */
export function readVector(path: string, id: unknown, blob: unknown, dimensions: number): Float32Array {
  if (blob instanceof Uint8Array && blob.byteLength === 4 * dimensions) {
    return new Float32Array(new Uint8Array(blob).buffer);
  }
  const found = blob instanceof Uint8Array ? `${blob.byteLength} bytes` : typeof blob;
  throw broken(path, `vector ${id} has ${found}, expected ${4 * dimensions}`);
}

function broken(path: string, problem: string): EvaClipError {
  return failAbout(path)("CORRUPT", `is a broken index: ${problem}`);
}

/** The values of a row of entries. */
export function entryValues(id: number, { source, version, caption, metadata }: NewEntry): SqlValue[] {
  return [BigInt(id), source, version, caption ?? null, JSON.stringify(metadata)];
}

export const INSERT_ENTRY = "insert into entries values (?, ?, ?, ?, jsonb(?))";
