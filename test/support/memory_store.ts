import type { Entry, Match, NearestOptions, VectorStore } from "eva-clip/search";

/** An index in memory, for what is built upon the interface. */
export class MemoryStore implements VectorStore {
  readonly path = "memory";
  readonly model = "small";
  readonly size: number;
  readonly dimensions: number;
  /** Conditions that were asked, which are not evaluated. */
  readonly conditions: (string | undefined)[] = [];

  constructor(
    readonly root: string,
    readonly fingerprint: string,
    private readonly entries: readonly Omit<Entry, "id">[],
    private readonly rows: readonly Float32Array[],
  ) {
    this.size = entries.length;
    this.dimensions = rows[0]!.length;
  }

  async nearest(queries: readonly Float32Array[], { count = 10, where }: NearestOptions = {}) {
    this.conditions.push(where);
    return queries.map((query) => {
      const matches = this.rows.map((row, id): Match => {
        const similarity = row.reduce((sum, value, i) => sum + value * query[i]!, 0);
        return { id, ...this.entries[id]!, similarity };
      });
      return matches.sort((a, b) => b.similarity - a.similarity).slice(0, count);
    });
  }

  async entry(id: number): Promise<Entry | undefined> {
    const entry = this.entries[id];
    return entry && { id, ...entry };
  }

  async vector(id: number): Promise<Float32Array | undefined> {
    return this.rows[id];
  }

  async *vectors() {
    for (const [id, entry] of this.entries.entries())
      yield { entry: { id, ...entry }, vector: this.rows[id]! };
  }

  async dispose(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
