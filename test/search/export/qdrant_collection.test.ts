import { exportIndex } from "../../../lib/search/export/export_index";
import { qdrantCollection } from "../../../lib/search/export/qdrant_collection";
import { listedIndex, type ListedItem, someItems } from "../../support/listed_index";
import { QdrantServer } from "../../support/qdrant_server";

const items = someItems(10);
const index = listedIndex(items);
const ids = items.map(({ entry }) => entry.id);

function targetOf({ url }: QdrantServer, more: object = {}) {
  return qdrantCollection({ url, collection: "birds", ...more });
}

function pointOf({ entry: { id, ...payload }, vector }: ListedItem) {
  return { id, vector: [...vector], payload };
}

test("a collection is created, with a point per entry", async () => {
  await using server = await QdrantServer.start();
  await expect(exportIndex(index, targetOf(server), { batchSize: 4 })).resolves.toBe(10);
  expect(server.vectors).toEqual({ size: 32, distance: "Cosine" });
  expect([...server.points.values()]).toEqual(items.map(pointOf));
  expect(server.requests.slice(0, 2)).toEqual(["GET /collections/birds/exists", "PUT /collections/birds"]);
});

test("a second export overwrites points by id, and leaves others alone", async () => {
  await using server = await QdrantServer.start({ size: 32, distance: "Dot" });
  const other = { id: 2, vector: [], payload: {} };
  server.points.set(2, other).set(4, other);
  await exportIndex(index, targetOf(server));
  expect(server.points.get(4)).toEqual(pointOf(items[1]!));
  expect([...server.points.keys()].sort()).toEqual([...ids, 2].sort());
  expect(server.requests).not.toContain("PUT /collections/birds");
});

test("prune deletes points with ids that the index does not have", async () => {
  await using server = await QdrantServer.start({ size: 32, distance: "Cosine" });
  const other = { vector: [], payload: {} };
  for (const id of [0, 2, 4, 15, 29, 1000, 5000, "6ba7b810-9dad-11d1-80b4-00c04fd430c8"]) {
    server.points.set(id, { id, ...other });
  }
  for (let id = 10_000; id < 12_500; id++) server.points.set(id, { id, ...other });
  await exportIndex(index, targetOf(server, { prune: true }), { batchSize: 3 });
  expect([...server.points.keys()].filter((id) => typeof id === "number").sort()).toEqual([...ids].sort());
  expect(server.points.size).toBe(11);
});

test.each([
  [{ size: 64, distance: "Cosine" }, "it holds vectors of 64 numbers, the index has vectors of 32 numbers"],
  [{ image: { size: 32, distance: "Cosine" } }, "it holds named vectors"],
])("a collection of %j is refused", async (vectors, problem) => {
  await using server = await QdrantServer.start(vectors);
  const error = await exportIndex(index, targetOf(server)).catch((error) => error);
  expect(error).toMatchObject({ code: "ERR_EVACLIP_EXPORT", message: expect.stringContaining(problem) });
  expect(server.points.size).toBe(0);
});

test("what the server says is in the error, and the next export goes on", async () => {
  await using server = await QdrantServer.start();
  server.refusal = { status: 507, error: "no space left" };
  await expect(exportIndex(index, targetOf(server))).rejects.toMatchObject({
    code: "ERR_EVACLIP_EXPORT",
    message: expect.stringMatching(/the collection birds of http:\/\/127.*no space left/),
  });
  server.refusal = undefined;
  await expect(exportIndex(index, targetOf(server))).resolves.toBe(10);
});

test("a key is sent, and not shown", async () => {
  // The client warns of a key on a connection without TLS.
  jest.spyOn(console, "warn").mockImplementation(() => undefined);
  await using server = await QdrantServer.start();
  server.apiKey = "secret-1";
  await expect(exportIndex(index, targetOf(server, { apiKey: "secret-1" }))).resolves.toBe(10);
  const error = await exportIndex(index, targetOf(server, { apiKey: "secret-2" })).catch((error) => error);
  expect(error.message).toContain("Must provide an API key");
  expect(error.message).not.toContain("secret");
});

test("an unreachable server is named", async () => {
  const server = await QdrantServer.start();
  const { url } = server;
  const target = targetOf(server);
  await server[Symbol.asyncDispose]();
  const error = await exportIndex(index, target).catch((error) => error);
  expect(error).toMatchObject({ code: "ERR_EVACLIP_EXPORT", message: expect.stringContaining(url) });
  expect(error.message).toContain("ECONNREFUSED");
});
