import { Client } from "pg";
import { exportIndex } from "../../../lib/search/export/export_index";
import { postgresTable } from "../../../lib/search/export/postgres_table";
import { listedIndex, someItems } from "../../support/listed_index";
import { type Answer, PostgresServer, type Statement } from "../../support/postgres_server";

const items = someItems(10);
const index = listedIndex(items);

/** PostgreSQL cannot store null characters. */
const stored = <T>(value: T): T => JSON.parse(JSON.stringify(value).replaceAll("\\u0000", "\ufffd"));

/** The numbers of a vector in pgvector's binary form. */
function numbersOf(bytes: Buffer): Float32Array {
  expect(bytes.readUInt32BE()).toBe(32 << 16);
  return Float32Array.from({ length: 32 }, (_, i) => bytes.readFloatBE(4 + 4 * i));
}

const columnsOf = (
  embedding: string,
  names = ["id", "source", "caption", "metadata", "embedding"],
): Answer => ({
  columns: ["name", "type"],
  rows: names.map((name) => [name, name === "embedding" ? embedding : "text"]),
});

const withTable =
  (answer: Answer) =>
  ({ sql }: Statement) =>
    sql.includes("pg_attribute") ? answer : undefined;

async function failureOf({ url }: { readonly url: string }) {
  return exportIndex(index, postgresTable({ url, table: "birds" })).catch((error) => error);
}

test("the statements that create a table, fill it, prune it and index it", async () => {
  await using server = await PostgresServer.start(() => undefined);
  const table = postgresTable({ url: server.url, table: 'my.big "birds"', prune: true, hnsw: true });
  await expect(exportIndex(index, table, { batchSize: 6 })).resolves.toBe(10);
  const name = '"my"."big ""birds"""';
  expect(server.statements.map(({ sql }) => sql.replace(/\s+/g, " ").slice(0, 60))).toEqual([
    expect.stringMatching(/^select a.attname/),
    "create extension if not exists vector",
    `create table if not exists ${name} (id bigint primary`.slice(0, 60),
    ...Array.from({ length: 2 }, () => [
      "begin",
      `insert into ${name} (id, source, caption, metadat`.slice(0, 60),
      expect.stringMatching(/^delete from .* where id > \$1 and id <= /),
      "commit",
    ]).flat(),
    expect.stringMatching(/^delete from .* where id > \$1$/),
    expect.stringMatching(/^create index if not exists "big ""birds""_embedding_hnsw"/),
  ]);
  const [first, second] = server.statements.filter(({ sql }) => sql.startsWith("insert"));
  const values = [...first!.values, ...second!.values];
  items.forEach(({ entry, vector }, i) => {
    const [id, source, caption, metadata, embedding] = values.slice(5 * i, 5 * i + 5);
    const row = { id: Number(id), source, caption, metadata: JSON.parse(metadata as string) };
    expect(row).toEqual(stored({ caption: null, ...entry }));
    expect(numbersOf(embedding as Buffer)).toEqual(vector);
  });
  const deletes = server.statements.filter(({ sql }) => sql.startsWith("delete"));
  expect(deletes.map(({ values }) => values.slice(0, 2))).toEqual([["-1", "16"], ["16", "28"], ["28"]]);
});

test("a table of another form is refused, one of this form is filled", async () => {
  for (const [answer, problem] of [
    [columnsOf("vector(64)"), "it holds embedding vector(64), the index has vectors of 32 numbers"],
    [columnsOf("text"), "it holds embedding text"],
    [columnsOf("vector(32)", ["id", "source", "embedding"]), "it has no column caption, metadata"],
  ] as const) {
    await using server = await PostgresServer.start(withTable(answer));
    const error = await failureOf(server);
    expect(error).toMatchObject({ code: "ERR_EVACLIP_EXPORT", message: expect.stringContaining(problem) });
    expect(server.statements).toHaveLength(1);
  }
  await using server = await PostgresServer.start(withTable(columnsOf("extensions.vector(32)")));
  await expect(failureOf(server)).resolves.toBe(10);
  expect(server.statements.some(({ sql }) => sql.startsWith("create"))).toBe(false);
});

test.each([
  ["create extension", "0A000", 'extension "vector" is not available', "install pgvector on the server"],
  ["create extension", "42501", "permission denied", "as a superuser, run: create extension vector"],
  ["insert", "53100", "could not extend file", "could not extend file"],
  ["commit", "57P01", "terminating connection", "terminating connection"],
])("what %s fails with is in the error (%s)", async (begin, code, message, problem) => {
  await using server = await PostgresServer.start(({ sql }) =>
    sql.startsWith(begin) ? { code, message } : undefined,
  );
  const error = await failureOf(server);
  expect(error).toMatchObject({ code: "ERR_EVACLIP_EXPORT" });
  expect(error.message).toContain(problem);
  expect(error.message).toContain("the table birds of postgres://me@127.0.0.1");
  expect(error.message).not.toContain("secret");
});

test("an unreachable server is named", async () => {
  const server = await PostgresServer.start(() => undefined);
  const { url } = server;
  await server[Symbol.asyncDispose]();
  const error = await failureOf({ url });
  expect(error).toMatchObject({
    code: "ERR_EVACLIP_EXPORT",
    message: expect.stringContaining("ECONNREFUSED"),
  });
});

/** A database with the extension pgvector, in which a table is created and dropped. */
const url = process.env["EVA_CLIP_TEST_POSTGRES"];

(url === undefined ? describe.skip : describe)("with the server of EVA_CLIP_TEST_POSTGRES", () => {
  const client = new Client({ connectionString: url });
  const table = "eva_clip_test_birds";
  const drop = () => client.query(`drop table if exists ${table}`);

  beforeAll(async () => {
    await client.connect();
    await drop();
  });

  afterAll(async () => {
    await drop();
    await client.end();
  });

  const rows = async () => {
    const sql = `select id::int, source, caption, metadata, embedding::real[] as vector from ${table} order by id`;
    return (await client.query(sql)).rows.map((row) => ({ ...row, vector: Float32Array.from(row.vector) }));
  };

  test("every bit arrives, a second export changes rows by id, and the nearest are those of the index", async () => {
    const target = postgresTable({ url: url!, table, hnsw: true });
    await exportIndex(index, target, { batchSize: 3 });
    const expected = items.map(({ entry, vector }) => ({ ...stored({ caption: null, ...entry }), vector }));
    await expect(rows()).resolves.toEqual(expected);
    const changed = someItems(5, 32, 9);
    await exportIndex(listedIndex(changed), target);
    await expect(rows()).resolves.toHaveLength(10);
    await exportIndex(listedIndex(changed), postgresTable({ url: url!, table, prune: true }), {
      batchSize: 2,
    });
    expect((await rows()).map(({ vector }) => vector)).toEqual(changed.map(({ vector }) => vector));
    const query = `[${changed[3]!.vector.join(",")}]`;
    const { rows: found } = await client.query(
      `select source from ${table} order by embedding <=> $1 limit 1`,
      [query],
    );
    expect(found[0].source).toBe("birds/3.jpg");
  });

  test("a table of another length is refused", async () => {
    await expect(
      exportIndex(listedIndex(someItems(2, 8), 8), postgresTable({ url: url!, table })),
    ).rejects.toThrow("it holds embedding vector(32), the index has vectors of 8 numbers");
  });
});
