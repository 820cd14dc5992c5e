import type { IndexStatement, NewEntry } from "../../lib/search/index_writer";
import type { Entry, Match } from "../../lib/search/vector_store";
import { SqlWriter } from "../../lib/search/sql/sql_writer";
import { dot, noise } from "./numbers";

export const STATEMENT: IndexStatement = {
  model: "tiny",
  fingerprint: "f1",
  dimensions: 32,
  root: "/images",
};

/** Random rows of unit length. → [count, columns] */
export function unitRows(count: number, columns: number, seed: number): Float32Array {
  const rows = noise(count * columns, seed);
  for (let i = 0; i < count; i++) {
    const row = rows.subarray(i * columns, (i + 1) * columns);
    const length = Math.sqrt(dot(row, row));
    row.forEach((value, j) => {
      row[j] = value / length;
    });
  }
  return rows;
}

/** Entries with a class, a width, and sometimes a caption. */
export function someEntries(count: number, version = "1"): NewEntry[] {
  return Array.from({ length: count }, (_, i) => ({
    source: `birds/${i}.jpg`,
    version,
    ...(i % 3 === 0 && { caption: `bird ${i}` }),
    metadata: {
      class: i % 2 === 0 ? "wren" : "owl's",
      width: 100 + i,
      ratio: i / 8,
      seen: i % 5 === 0,
      note: null,
    },
  }));
}

export interface RandomIndex {
  readonly entries: NewEntry[];
  readonly rows: Float32Array;
}

/** Writes an index of random vectors. */
export async function writeRandomIndex(path: string, count: number, seed = 1): Promise<RandomIndex> {
  const entries = someEntries(count);
  const rows = unitRows(count, STATEMENT.dimensions, seed);
  await using writer = await SqlWriter.open(path, STATEMENT);
  await writer.append(entries, rows);
  await writer.commit(entries);
  return { entries, rows };
}

/** The positions of the rows with the largest product with a query, best first. */
export function nearestRows(
  rows: Float32Array,
  query: Float32Array,
  count: number,
  isWanted = (_: number) => true,
): number[] {
  const columns = query.length;
  return Array.from({ length: rows.length / columns }, (_, i) => i)
    .filter(isWanted)
    .map((i) => ({ i, product: dot(rows.subarray(i * columns, (i + 1) * columns), query) }))
    .sort((a, b) => b.product - a.product)
    .slice(0, count)
    .map(({ i }) => i);
}

export const sourcesOf = (entries: readonly (Entry | Match)[]) => entries.map(({ source }) => source);
