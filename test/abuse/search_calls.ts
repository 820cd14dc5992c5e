// One correct call of every public function of eva-clip/search.
import { join } from "node:path";
import * as eva from "./public_names";
import type { PublicCall, World } from "./public_calls";

const vector = () => Float32Array.from({ length: 16 }, () => 0.25);
const signal = () => new AbortController().signal;

const indexes = new WeakMap<World, Promise<eva.VectorStore>>();

/** One index of the images of the world for all calls. */
function indexOf(world: World): Promise<eva.VectorStore> {
  const { folder, model } = world;
  const path = join(folder, "images.safetensors");
  const open = async () => {
    await eva.buildIndex(model, await eva.openImageFolder(join(folder, "pairs")), path, { root: folder });
    return eva.openIndex(path, { threads: 1 });
  };
  const index = indexes.get(world) ?? open();
  indexes.set(world, index);
  return index;
}

export const searchCalls: Readonly<Record<string, (world: World) => Promise<PublicCall>>> = {
  buildIndex: async ({ folder, model }) => ({
    target: eva.buildIndex,
    given: [
      model,
      await eva.openImageFolder(join(folder, "pairs")),
      join(folder, "built.safetensors"),
      { modelPath: "model", root: folder, batchSize: 2, storage: "f16", signal: signal() },
    ],
  }),
  openIndex: async (world) => ({
    target: eva.openIndex,
    given: [(await indexOf(world)).path, { threads: 1 }],
    after: ((opened: eva.VectorStore) => opened.dispose()) as never,
  }),
  checkIndexModel: async (world) => ({
    target: eva.checkIndexModel,
    given: [await indexOf(world), world.model],
  }),
  exportIndex: async (world) => ({
    target: eva.exportIndex,
    given: [
      await indexOf(world),
      eva.parquetFile(join(world.folder, "images.parquet")),
      { batchSize: 1, onProgress: () => undefined, signal: signal() },
    ],
  }),
  parquetFile: async () => ({ target: eva.parquetFile, given: ["images.parquet"] }),
  qdrantCollection: async () => ({
    target: eva.qdrantCollection,
    given: [{ url: "http://localhost:6333", collection: "images", apiKey: "key", prune: true }],
  }),
  postgresTable: async () => ({
    target: eva.postgresTable,
    given: [{ url: "postgres://me@localhost/db", table: "images", hnsw: true, prune: true }],
  }),
  lanceTable: async () => ({
    target: eva.lanceTable,
    given: [{ uri: "vectors", table: "images", prune: true }],
  }),
  "VectorStore.nearest": async (world) => {
    const index = await indexOf(world);
    const given = [[vector()], { count: 2, where: "width > 1", signal: signal() }];
    return { target: index.nearest.bind(index), given };
  },
};
