import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EvaClip } from "eva-clip";
import { createHandler, type RequestHandler } from "eva-clip/serve";
import sharp from "sharp";
import { pack } from "tar-stream";
import smallModel from "../../scripts/package_consumer/small_model.json";
import { modelFingerprint } from "../../lib/clip/model_fingerprint";
import { MemoryStore } from "../support/memory_store";

const imageOf = (background: string, width = 40) =>
  sharp({ create: { width, height: 20, channels: 3, background } });

/** Sources of the index's entries, in the order of their ids. */
const SOURCES = [
  "red.png",
  "inner/green.jpg",
  "blue.bmp",
  "link.png",
  "shards/000.tar#a/white",
  "shards/000.tar#black",
  "gone.png",
  "text.png",
  "../outside.png",
  "shards/../../outside.png",
  "shards/000.tar#none",
  "with#hash.png",
];
const UNREADABLE = SOURCES.slice(6, 11);

/** What the endpoints answer, as far as tests look into it. */
interface Answer {
  readonly data: readonly { readonly id: number }[];
  readonly error: { readonly code: string; readonly message: string };
}
const answerOf = async (response: Response) => (await response.json()) as Answer;

let folder: string;
let model: EvaClip;
let store: MemoryStore;
let handler: RequestHandler;

/** A bitmap of one blue pixel. */
function bitmap(): Buffer {
  const file = Buffer.alloc(58);
  file.write("BM");
  file.writeUInt32LE(58, 2);
  file.writeUInt32LE(54, 10);
  file.writeUInt32LE(40, 14);
  for (const at of [18, 22]) file.writeInt32LE(1, at);
  file.writeUInt16LE(1, 26);
  file.writeUInt16LE(24, 28);
  file[54] = 255;
  return file;
}

async function shard(): Promise<Buffer> {
  const archive = pack();
  archive.entry({ name: "a/white.txt" }, "white");
  archive.entry({ name: "a/white.jpg" }, await imageOf("white", 50).jpeg().toBuffer());
  archive.entry({ name: "./black.png" }, await imageOf("black", 60).png().toBuffer());
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "eva-clip-index-"));
  const root = join(folder, "root");
  for (const path of ["inner", "shards"]) mkdirSync(join(root, path), { recursive: true });
  await imageOf("red").png().toFile(join(root, "red.png"));
  await imageOf("red").png().toFile(join(root, "with#hash.png"));
  await imageOf("red").png().toFile(join(folder, "outside.png"));
  await imageOf("green", 2000).jpeg().toFile(join(root, "inner/green.jpg"));
  writeFileSync(join(root, "blue.bmp"), bitmap());
  writeFileSync(join(root, "text.png"), "text");
  symlinkSync("red.png", join(root, "link.png"));
  writeFileSync(join(root, "shards/000.tar"), await shard());
  model = await EvaClip.create(smallModel, { device: "cpu", threads: 1, init: "fan_in" });
  const rows = await model.encodeText(SOURCES);
  const entries = SOURCES.map((source, i) => ({
    source,
    ...(i > 0 && { caption: `number ${i}` }),
    metadata: { i },
  }));
  store = new MemoryStore(root, await modelFingerprint(model.model), entries, rows);
  handler = createHandler({ small: model }, { index: store });
});

afterAll(async () => {
  await handler?.dispose();
  await model?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const get = (path: string, headers = {}) => handler(new Request(`http://localhost${path}`, { headers }));

async function search(body: unknown) {
  const headers = { "content-type": "application/json" };
  const request = new Request("http://localhost/v1/search", {
    method: "POST",
    headers,
    body: JSON.stringify(body),
  });
  const response = await handler(request);
  return { status: response.status, json: await answerOf(response) };
}

describe("POST /v1/search", () => {
  test("answers the entries nearest to a text, in the order of the index", async () => {
    const { status, json } = await search({ text: "number", count: 3, model: "small" });
    const [matches] = await store.nearest([await model.encodeText("number")], { count: 3 });
    expect(status).toBe(200);
    expect(json).toEqual({
      object: "list",
      model: "small",
      data: matches!.map(({ id, source, caption = null, metadata, similarity }) => ({
        ...{ object: "match", id, source, caption, metadata },
        similarity: expect.closeTo(similarity, 5),
        image: `/v1/index/${id}/image`,
      })),
    });
    expect((await search({ text: "number" })).json.data).toHaveLength(10);
  });

  test("answers the entries nearest to an image, in JSON, a form or the body", async () => {
    const file = await imageOf("orange").png().toBuffer();
    const [matches] = await store.nearest([await model.encodeImage(file)], { count: 2 });
    const expected = matches!.map(({ id }) => id);
    const form = new FormData();
    form.set("image", new Blob([file]), "x.png");
    form.set("count", "2");
    const bodies: RequestInit[] = [
      { body: form },
      { body: file, headers: { "content-type": "image/png" } },
      { body: JSON.stringify({ count: 2, image: `data:image/png;base64,${file.toString("base64")}` }) },
      { body: JSON.stringify({ count: 2, image: file.toString("base64") }) },
    ];
    for (const init of bodies) {
      const path = init.body === file ? "/v1/search?count=2" : "/v1/search";
      const headers = typeof init.body === "string" ? { "content-type": "application/json" } : init.headers;
      const request = new Request(`http://localhost${path}`, {
        method: "POST",
        ...init,
        ...(headers && { headers }),
      });
      const { data } = await answerOf(await handler(request));
      expect(data.map(({ id }) => id)).toEqual(expected);
    }
  });

  test("answers the neighbors of an entry, without the entry", async () => {
    const { json } = await search({ id: 4, count: 11 });
    const [matches] = await store.nearest([(await store.vector(4))!], { count: 12 });
    const others = matches!.map(({ id }) => id).filter((id) => id !== 4);
    expect(json.data.map(({ id }) => id)).toEqual(others);
  });

  test("is described in /openapi.json", async () => {
    const { paths } = (await (await get("/openapi.json")).json()) as { paths: object };
    expect(Object.keys(paths)).toEqual(
      expect.arrayContaining(["/v1/search", "/v1/index", "/v1/index/{id}", "/v1/index/{id}/image"]),
    );
  });

  test("passes a condition on", async () => {
    await search({ text: "x", where: "i > 3" });
    expect(store.conditions.at(-1)).toBe("i > 3");
  });

  test.each([
    [{}, 400, /give one of text, image and id, found none/],
    [{ text: "a", id: 1 }, 400, /found text and id/],
    [{ id: 99 }, 404, /no entry 99/],
    [{ id: -1 }, 400, /id must be/],
    [{ id: "1" }, 400, /id must be/],
    [{ text: "a", count: 0 }, 400, /count must be/],
    [{ text: "a", count: 1001 }, 400, /count must be at most 1000/],
    [{ text: "a", limit: 1 }, 400, /limit/],
    [{ text: "a", model: "large" }, 404, /large/],
    [{ image: "bm90IGFuIGltYWdl" }, 400, /image/],
    [{ image: "/etc/passwd" }, 400, /image/],
  ])("refuses %j", async (body, status, message) => {
    const answer = await search(body);
    expect(answer.json.error.message).toMatch(message);
    expect(answer.status).toBe(status);
  });

  test("refuses queries of a model that did not make the index", async () => {
    const rows = [new Float32Array(32).fill(1)];
    const other = new MemoryStore(folder, "of another", [{ source: "a.png", metadata: {} }], rows);
    await using wrong = createHandler({ small: model }, { index: other });
    const request = (body: object) =>
      wrong(
        new Request("http://localhost/v1/search", {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(body),
        }),
      );
    const response = await request({ text: "a" });
    expect(response.status).toBe(400);
    expect((await answerOf(response)).error.code).toBe("wrong_model");
    expect((await request({ id: 0 })).status).toBe(200);
    const described = await wrong(new Request("http://localhost/v1/index"));
    expect(await described.json()).toMatchObject({ size: 1, model: null });
  });
});

describe("GET /v1/index", () => {
  test("says what the index is, and what an entry is", async () => {
    expect(await (await get("/v1/index")).json()).toEqual({
      object: "index",
      size: SOURCES.length,
      dimensions: 32,
      model: "small",
    });
    expect(await (await get("/v1/index/1")).json()).toEqual({
      ...{ object: "entry", id: 1, source: "inner/green.jpg", caption: "number 1", metadata: { i: 1 } },
      image: "/v1/index/1/image",
    });
  });

  test.each([
    [0, 40],
    [1, 320],
    [2, 1],
    [3, 40],
    [4, 50],
    [5, 60],
    [11, 40],
  ])("gives a small copy of the image of entry %d", async (id, width) => {
    const response = await get(`/v1/index/${id}/image`);
    expect(response.headers.get("content-type")).toBe("image/webp");
    const metadata = await sharp(Buffer.from(await response.arrayBuffer())).metadata();
    expect([metadata.format, metadata.width]).toEqual(["webp", width]);
  });

  test("takes a size, and answers 304 to a browser that has the image", async () => {
    const response = await get("/v1/index/1/image?size=640");
    expect((await sharp(Buffer.from(await response.arrayBuffer())).metadata()).width).toBe(640);
    expect((await get("/v1/index/1/image?size=100000")).status).toBe(400);
    const etag = response.headers.get("etag")!;
    const again = await get("/v1/index/1/image?size=640", { "if-none-match": etag });
    expect([again.status, await again.text()]).toEqual([304, ""]);
  });

  test.each(UNREADABLE)("does not give %s, nor say where it would be", async (source) => {
    const response = await get(`/v1/index/${SOURCES.indexOf(source)}/image`);
    const { error } = await answerOf(response);
    expect([response.status, error.code]).toEqual([404, "image_unavailable"]);
    expect(JSON.stringify(error)).not.toContain(folder);
  });

  test.each([
    "/v1/index/99",
    "/v1/index/-1",
    "/v1/index/1.5",
    "/v1/index/1e0",
    "/v1/index/..%2fred.png",
    "/v1/index/x/image",
  ])("there is no %s", async (path) => {
    expect((await get(path)).status).toBe(404);
  });

  test("without an index says how to make one", async () => {
    await using bare = createHandler({ small: model });
    for (const path of ["/v1/index", "/v1/index/0", "/v1/index/0/image"]) {
      const response = await bare(new Request(`http://localhost${path}`));
      const { error } = await answerOf(response);
      expect([response.status, error.code]).toEqual([404, "no_index"]);
      expect(error.message).toContain("eva-clip index");
    }
  });

  test("is behind the API key", async () => {
    await using locked = createHandler({ small: model }, { index: store, page: true, apiKey: "secret" });
    const status = async (path: string, headers = {}) =>
      (await locked(new Request(`http://localhost${path}`, { headers }))).status;
    expect(await status("/v1/index/0/image")).toBe(401);
    expect(await status("/v1/index/0/image", { authorization: "Bearer secret" })).toBe(200);
    expect(await status("/")).toBe(200);
  });
});
