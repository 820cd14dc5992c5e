import type { QdrantClient } from "@qdrant/js-client-rest" with { "resolution-mode": "require" };
import type { VectorStore } from "../vector_store";
import {
  type Ask,
  anotherLength,
  asking,
  optionalPackage,
  ownQdrantOptions,
  type QdrantOptions,
  withoutPassword,
} from "./export_arguments";
import { type ExportBatch, type ExportTarget, NUMBERS_OF_TEXT } from "./export_target";

const DEFAULT_URL = "http://localhost:6333";

/** A request is a batch of entries, or a change of the collection. */
const TIMEOUT_MS = 60_000;

/** Ids that a page of `scroll` has. */
const IDS_AT_ONCE = 1000;

/**
 * A collection of Qdrant, with cosine distance: an entry is a point with its id, and source, caption and metadata as payload.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT`
 */
export function qdrantCollection(options: QdrantOptions): ExportTarget {
  const own = ownQdrantOptions(options);
  const url = own.url ?? DEFAULT_URL;
  const name = `the collection ${own.collection} of ${withoutPassword(url)}`;
  return {
    name,
    numbersAtOnce: NUMBERS_OF_TEXT,
    async write(index, batches) {
      const qdrant = optionalPackage(
        "@qdrant/js-client-rest",
        () => require("@qdrant/js-client-rest") as { QdrantClient: typeof QdrantClient },
      );
      const client = new qdrant.QdrantClient({
        url,
        // The client would take the port 6333 for a URL without one.
        port: null,
        timeout: TIMEOUT_MS,
        checkCompatibility: false,
        ...(own.apiKey !== undefined && { apiKey: own.apiKey }),
      });
      const collection = new Collection(client, own.collection, name);
      const isNew = await collection.prepare(index);
      let last = -1;
      for await (const batch of batches) {
        last = batch.entries.at(-1)!.id;
        await collection.upsert(batch);
        if (own.prune && !isNew) await collection.prune(batch.after, last, batch);
      }
      if (own.prune && !isNew) await collection.prune(last, Number.POSITIVE_INFINITY);
    },
  };
}

class Collection {
  private readonly ask: Ask;

  constructor(
    private readonly client: QdrantClient,
    private readonly collection: string,
    private readonly name: string,
  ) {
    this.ask = asking(name, reasonOf);
  }

  /** Creates the collection, or checks it. → whether it is new */
  async prepare({ dimensions }: VectorStore): Promise<boolean> {
    const { exists } = await this.ask(() => this.client.collectionExists(this.collection));
    if (!exists) {
      const vectors = { size: dimensions, distance: "Cosine" as const };
      await this.ask(() => this.client.createCollection(this.collection, { vectors }));
      return true;
    }
    const { config } = await this.ask(() => this.client.getCollection(this.collection));
    const vectors = config.params.vectors as { size?: unknown } | undefined;
    if (vectors?.size === dimensions) return false;
    const found = vectors?.size === undefined ? "named vectors" : `vectors of ${vectors.size} numbers`;
    throw anotherLength(this.name, found, dimensions);
  }

  async upsert({ entries, vectors }: ExportBatch): Promise<void> {
    const points = entries.map(({ id, source, caption, metadata }, i) => ({
      id,
      vector: Array.from(vectors[i]!),
      payload: { source, ...(caption !== undefined && { caption }), metadata },
    }));
    await this.ask(() => this.client.upsert(this.collection, { wait: true, points }));
  }

  /** Deletes the points with ids above `after`, up to `last`, that are not in the batch. */
  async prune(after: number, last: number, batch?: ExportBatch): Promise<void> {
    const kept = new Set(batch?.entries.map(({ id }) => id));
    for (let offset = after + 1; ; ) {
      const page = await this.ask(() =>
        this.client.scroll(this.collection, {
          offset,
          limit: IDS_AT_ONCE,
          with_payload: false,
          with_vector: false,
        }),
      );
      // Points whose ids are UUIDs are not of an export.
      const ids = page.points.map(({ id }) => id).filter((id) => typeof id === "number");
      const gone = ids.filter((id) => id <= last && !kept.has(id));
      if (gone.length > 0)
        await this.ask(() => this.client.delete(this.collection, { wait: true, points: gone }));
      const next = page.next_page_offset;
      if (typeof next !== "number" || next > last) return;
      offset = next;
    }
  }
}

/** The client's error has the server's own text in its data, and fetch's has the system's in its cause. */
function reasonOf(error: unknown): string {
  const { message, cause, data } = error as Error & { data?: { status?: { error?: string } } };
  const system = (cause as Error | undefined)?.message || (cause as NodeJS.ErrnoException | undefined)?.code;
  return [message, data?.status?.error ?? system].filter(Boolean).join(": ");
}
