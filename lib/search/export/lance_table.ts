import { createRequire } from "node:module";
import {
  type Ask,
  anotherLength,
  asking,
  exportError,
  type LanceOptions,
  optionalPackage,
  ownLanceOptions,
} from "./export_arguments";
import { type ExportBatch, type ExportTarget, NUMBERS_OF_BYTES } from "./export_target";
import { type Arrow, arrowRows, arrowSchema } from "./lance_rows";

const PACKAGES = "@lancedb/lancedb apache-arrow@18.1.0";

/** What is used of `@lancedb/lancedb`, which is too large to be installed for its types. */
interface Lance {
  connect(uri: string): Promise<LanceConnection>;
}

interface LanceConnection {
  tableNames(): Promise<string[]>;
  openTable(name: string): Promise<LanceTable>;
  createEmptyTable(name: string, schema: unknown): Promise<LanceTable>;
  close(): void;
}

interface LanceTable {
  schema(): Promise<{ readonly fields: Fields }>;
  mergeInsert(on: string): LanceMerge;
  delete(predicate: string): Promise<unknown>;
  optimize(): Promise<unknown>;
}

interface LanceMerge {
  whenMatchedUpdateAll(): LanceMerge;
  whenNotMatchedInsertAll(): LanceMerge;
  whenNotMatchedBySourceDelete(options: { where: string }): LanceMerge;
  execute(rows: unknown): Promise<unknown>;
}

/**
 * A table of LanceDB: id, source, caption, metadata (JSON) and vector (f32).
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT`
 */
export function lanceTable(options: LanceOptions): ExportTarget {
  const own = ownLanceOptions(options);
  const name = `the table ${own.table} of ${own.uri}`;
  return {
    name,
    numbersAtOnce: NUMBERS_OF_BYTES,
    async write({ dimensions }, batches) {
      const { lance, arrow } = packages();
      const ask = asking(name, reasonOf);
      const connection = await ask(() => lance.connect(own.uri));
      try {
        const table = await openTable(connection, arrow, own.table, dimensions, ask);
        checkTable(name, (await ask(() => table.schema())).fields, arrowSchema(arrow, dimensions).fields);
        await copy(table, arrow, batches, own.prune ?? false, ask);
      } finally {
        connection.close();
      }
    },
  };
}

function packages(): { lance: Lance; arrow: Arrow } {
  return optionalPackage(PACKAGES, () => {
    const lance: Lance = require("@lancedb/lancedb");
    // Its own copy of Apache Arrow: tables of another copy are refused.
    const arrow: Arrow = createRequire(require.resolve("@lancedb/lancedb"))("apache-arrow");
    return { lance, arrow };
  });
}

async function openTable(
  connection: LanceConnection,
  arrow: Arrow,
  table: string,
  dimensions: number,
  ask: Ask,
): Promise<LanceTable> {
  const names = await ask(() => connection.tableNames());
  return ask(() =>
    names.includes(table)
      ? connection.openTable(table)
      : connection.createEmptyTable(table, arrowSchema(arrow, dimensions)),
  );
}

type Fields = readonly { readonly name: string; readonly type: { readonly listSize?: number } }[];

function checkTable(name: string, found: Fields, wanted: Fields): void {
  const missing = wanted.filter((column) => !found.some((field) => field.name === column.name));
  if (missing.length > 0) {
    const columns = missing.map((column) => column.name).join(", ");
    throw exportError(name, `it has no column ${columns}; choose another table`);
  }
  const typeOf = (fields: Fields) => fields.find((field) => field.name === "vector")!.type;
  const { listSize } = typeOf(wanted);
  if (typeOf(found).listSize !== listSize) throw anotherLength(name, `vector ${typeOf(found)}`, listSize!);
}

async function copy(
  table: LanceTable,
  arrow: Arrow,
  batches: AsyncIterable<ExportBatch>,
  prune: boolean,
  ask: Ask,
): Promise<void> {
  let last = -1;
  for await (const batch of batches) {
    last = batch.entries.at(-1)!.id;
    const merge = table.mergeInsert("id").whenMatchedUpdateAll().whenNotMatchedInsertAll();
    const gone = { where: `id > ${batch.after} and id <= ${last}` };
    const chosen = prune ? merge.whenNotMatchedBySourceDelete(gone) : merge;
    await ask(() => chosen.execute(arrowRows(arrow, batch)));
  }
  if (prune) await ask(() => table.delete(`id > ${last}`));
  // Joins the fragments of the batches.
  await ask(() => table.optimize());
}

/** The first sentence: the others are places in the source of LanceDB. */
function reasonOf(error: unknown): string {
  return String((error as Error).message).split(/, \/|\n| {2}Caused by/, 1)[0]!;
}
