// Appends entries to an SQL index until it is killed, and prints how many batches have been appended.
//   node append_forever.js PATH
import { SqlWriter } from "../../lib/search/sql/sql_writer";
import { someEntries, STATEMENT, unitRows } from "./random_index";

export const BATCH = 50;

/** The entries of a batch. */
export function batchOf(number: number) {
  return someEntries(BATCH).map((entry) => ({ ...entry, source: `${number}/${entry.source}` }));
}

async function main(path: string): Promise<void> {
  const writer = await SqlWriter.open(path, STATEMENT);
  for (let number = 0; ; number++) {
    await writer.append(batchOf(number), unitRows(BATCH, STATEMENT.dimensions, number + 1));
    process.stdout.write(`${number + 1}\n`);
  }
}

if (require.main === module) main(process.argv[2]!);
