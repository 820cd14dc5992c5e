import type { Client } from "pg";
import type { Entry, VectorStore } from "../vector_store";
import {
  type Ask,
  anotherLength,
  asking,
  exportError,
  optionalPackage,
  ownPostgresOptions,
  type PostgresOptions,
  withoutPassword,
} from "./export_arguments";
import { type ExportBatch, type ExportTarget, NUMBERS_OF_TEXT } from "./export_target";

const CONNECT_MS = 10_000;

const COLUMNS = ["id", "source", "caption", "metadata", "embedding"];

/** PostgreSQL takes at most 65,535 values. */
const MOST_ROWS = Math.floor(65_535 / COLUMNS.length);

/**
 * A table of PostgreSQL with the extension pgvector: id, source, caption, metadata (jsonb) and embedding (vector).
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT`
 */
export function postgresTable(options: PostgresOptions): ExportTarget {
  const own = ownPostgresOptions(options);
  const server = own.url === undefined ? "PostgreSQL" : withoutPassword(own.url);
  const name = `the table ${own.table} of ${server}`;
  return {
    name,
    numbersAtOnce: NUMBERS_OF_TEXT,
    async write(index, batches) {
      const { Client } = optionalPackage("pg", () => require("pg") as typeof import("pg"));
      const client = new Client({
        ...(own.url !== undefined && { connectionString: own.url }),
        connectionTimeoutMillis: CONNECT_MS,
      });
      // A connection that is lost between two queries; the next query rejects.
      client.on("error", () => undefined);
      const table = new Table(client, own.table, name);
      try {
        await table.ask(() => client.connect());
        await table.prepare(index);
        await table.copy(batches, own.prune ?? false);
        if (own.hnsw) await table.addIndex();
      } finally {
        await client.end().catch(() => undefined);
      }
    },
  };
}

class Table {
  /** Quoted, with its schema. */
  private readonly table: string;
  readonly ask: Ask;

  constructor(
    private readonly client: Client,
    private readonly given: string,
    private readonly name: string,
  ) {
    this.ask = asking(name, reasonOf);
    const [first, second] = given.split(/\.(.*)/s, 2);
    const parts = second ? [first!, second] : [given];
    this.table = parts.map((part) => client.escapeIdentifier(part)).join(".");
  }

  /** Creates the extension and the table, or checks the table. */
  async prepare({ dimensions }: VectorStore): Promise<void> {
    const { rows } = await this.ask(() =>
      this.client.query(
        `select a.attname as name, format_type(a.atttypid, a.atttypmod) as type from pg_attribute a
          where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped`,
        [this.table],
      ),
    );
    if (rows.length > 0) {
      const missing = COLUMNS.filter((column) => !rows.some(({ name }) => name === column));
      if (missing.length > 0) {
        throw exportError(this.name, `it has no column ${missing.join(", ")}; choose another table`);
      }
      // With the extension in another schema, the type is `schema.vector(512)`.
      const type: string = rows.find(({ name }) => name === "embedding").type;
      if (type.replace(/^.*\./, "") === `vector(${dimensions})`) return;
      throw anotherLength(this.name, `embedding ${type}`, dimensions);
    }
    await this.ask(() => this.client.query("create extension if not exists vector"));
    await this.ask(() =>
      this.client.query(`create table if not exists ${this.table} (id bigint primary key, source text not null,
        caption text, metadata jsonb not null, embedding vector(${dimensions}) not null)`),
    );
  }

  async copy(batches: AsyncIterable<ExportBatch>, prune: boolean): Promise<void> {
    let last = -1;
    for await (const batch of batches) {
      last = batch.entries.at(-1)!.id;
      await this.ask(() => this.client.query("begin"));
      for (let i = 0; i < batch.entries.length; i += MOST_ROWS) await this.#upsert(batch, i, i + MOST_ROWS);
      if (prune) {
        const ids = batch.entries.map(({ id }) => id);
        await this.#delete("id > $1 and id <= $2 and id <> all ($3)", [batch.after, last, ids]);
      }
      await this.ask(() => this.client.query("commit"));
    }
    if (prune) await this.#delete("id > $1", [last]);
  }

  async addIndex(): Promise<void> {
    const index = this.client.escapeIdentifier(
      `${this.given.replace(/^.*\./s, "").slice(0, 40)}_embedding_hnsw`,
    );
    const sql = `create index if not exists ${index} on ${this.table} using hnsw (embedding vector_cosine_ops)`;
    await this.ask(() => this.client.query(sql));
  }

  async #upsert({ entries, vectors }: ExportBatch, from: number, to: number): Promise<void> {
    const values = entries.slice(from, to).flatMap((entry, i) => valuesOf(entry, vectors[from + i]!));
    const rows = Array.from({ length: values.length / COLUMNS.length }, (_, i) => {
      const first = i * COLUMNS.length;
      return `(${COLUMNS.map((_, j) => `$${first + j + 1}`).join(", ")})`;
    });
    const updates = COLUMNS.slice(1).map((column) => `${column} = excluded.${column}`);
    const sql = `insert into ${this.table} (${COLUMNS.join(", ")}) values ${rows.join(", ")}
      on conflict (id) do update set ${updates.join(", ")}`;
    await this.ask(() => this.client.query(sql, values));
  }

  async #delete(condition: string, values: unknown[]): Promise<void> {
    await this.ask(() => this.client.query(`delete from ${this.table} where ${condition}`, values));
  }
}

function valuesOf({ id, source, caption, metadata }: Entry, vector: Float32Array): unknown[] {
  const pairs = Object.entries(metadata).map((pair) => pair.map(withoutNull));
  const texts = [source, caption ?? null].map(withoutNull);
  return [id, ...texts, JSON.stringify(Object.fromEntries(pairs)), binaryVector(vector)];
}

/** PostgreSQL's text and jsonb cannot hold null characters. */
function withoutNull<T>(value: T): T | string {
  return typeof value === "string" ? value.replaceAll("\0", "\ufffd") : value;
}

/** pgvector's binary form: u16 length, u16 zero, f32 each, big-endian. */
function binaryVector(vector: Float32Array): Buffer {
  const bytes = Buffer.alloc(4 + 4 * vector.length);
  bytes.writeUInt16BE(vector.length);
  Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).copy(bytes, 4);
  bytes.subarray(4).swap32();
  return bytes;
}

function reasonOf(error: unknown): string {
  // Node's error for a host with several addresses has no message of its own.
  const { message, errors, code } = error as AggregateError & { readonly code?: string };
  const reason = message || errors?.map(({ message }) => message).join(", ") || String(error);
  return ADVICE[code ?? ""] === undefined ? reason : `${reason}; ${ADVICE[code ?? ""]}`;
}

/** What to do about an error code of PostgreSQL. */
const ADVICE: Readonly<Record<string, string>> = {
  "0A000": "install pgvector on the server",
  "58P01": "install pgvector on the server",
  "42501": "as a superuser, run: create extension vector",
};
