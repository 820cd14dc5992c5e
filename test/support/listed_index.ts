import type { Entry, VectorStore } from "../../lib/search/vector_store";
import { unitRows } from "./random_index";

export interface ListedItem {
  readonly entry: Entry;
  readonly vector: Float32Array;
}

/** Entries with ids that have gaps, text of any kind, and vectors of unit length. */
export function someItems(count: number, dimensions = 32, seed = 1): ListedItem[] {
  const rows = unitRows(count, dimensions, seed);
  return Array.from({ length: count }, (_, i) => {
    const about = { class: i % 2 === 0 ? "wren" : "naïve 🙂 'owl'\0", width: i / 8, seen: true, note: null };
    const entry = { id: 3 * i + 1, source: `birds/${i}.jpg`, metadata: about };
    const vector = rows.slice(i * dimensions, (i + 1) * dimensions);
    return { entry: i % 3 === 0 ? { ...entry, caption: `"bird"\n${i}` } : entry, vector };
  });
}

/** An index that can only be read from beginning to end. */
export function listedIndex(items: readonly ListedItem[], dimensions = 32): VectorStore {
  const refuse = async () => {
    throw new Error("not of this index");
  };
  return {
    path: "/images/birds.db",
    size: items.length,
    dimensions,
    model: "tiny",
    fingerprint: "f1",
    root: "/images",
    nearest: refuse,
    entry: refuse,
    vector: refuse,
    async *vectors() {
      yield* items;
    },
    dispose: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
}
