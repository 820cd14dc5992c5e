import { gzipSync } from "node:zlib";
import type { EvaClip } from "eva-clip";
import { createHandler } from "../../lib/serve/handler";
import { dataUri, makeModel, picture, type Service, serviceOf } from "./service";

let model: EvaClip;
let service: Service;
let red: Buffer;

beforeAll(async () => {
  model = await makeModel();
  service = serviceOf(model);
  red = await picture("red");
});

afterAll(async () => {
  await service.handler.dispose();
  await model.dispose();
});

const json = { "content-type": "application/json" };

test.each([
  ["text that is not JSON", "{", "invalid_json", null],
  ["an empty body", "", "invalid_json", null],
  ["bytes that are not UTF-8", new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d]), "invalid_json", null],
  ["deep nesting", `{"input":${"[".repeat(99)}${"]".repeat(99)}}`, "invalid_json", null],
  ["a very deep nesting", "[".repeat(200_000), "invalid_json", null],
  ["a long string that does not end", `{"input":"${"a".repeat(1e6)}`, "invalid_json", null],
  ["a list", "[]", "invalid_request", null],
  ["no input", "{}", "invalid_request", "input"],
  ["input and messages", '{"input":"a","messages":[]}', "invalid_request", "input"],
  ["an empty list", '{"input":[]}', "invalid_request", "input"],
  ["token ids", '{"input":[1,2,3]}', "invalid_request", "input[0]"],
  ["lists of token ids", '{"input":[[1,2,3]]}', "invalid_request", "input[0]"],
  ["an input that is null", '{"input":["a",null]}', "invalid_request", "input[1]"],
  ["a misspelled field", '{"input":"a","dimension":8}', "invalid_request", "dimension"],
  ["a misspelled field of an input", '{"input":[{"txt":"a"}]}', "invalid_request", "input[0].text"],
  ["the field __proto__", '{"input":"a","__proto__":{"model":"x"}}', "invalid_request", "__proto__"],
  ["another encoding", '{"input":"a","encoding_format":"int8"}', "invalid_request", "encoding_format"],
  [
    "two encodings",
    '{"input":"a","encoding_format":"float","embedding_type":"binary"}',
    "invalid_request",
    "embedding_type",
  ],
  [
    "dimensions of a model that has only one",
    '{"input":"a","dimensions":8}',
    "unsupported_dimensions",
    "dimensions",
  ],
  ["dimensions that are no integer", '{"input":"a","dimensions":1.5}', "invalid_request", "dimensions"],
  [
    "a text that is too long, uncut",
    `{"input":"${"cat ".repeat(100)}","truncate":false}`,
    "context_length_exceeded",
    "input",
  ],
])("POST /v1/embeddings refuses %s", async (_, body, code, param) => {
  const answer = await service.send("/v1/embeddings", { body: body as string, headers: json });
  expect(answer.status).toBe(400);
  expect(answer.json.error).toEqual({
    message: expect.any(String),
    type: "invalid_request_error",
    param,
    code,
  });
});

test("a model that does not exist is 404", async () => {
  const { status, json } = await service.post("/v1/embeddings", { model: "gpt", input: "a" });
  expect(status).toBe(404);
  expect(json.error).toMatchObject({ code: "model_not_found", param: "model", type: "not_found_error" });
});

test("with several models, one must be named", async () => {
  const handler = createHandler({ "org/first": model, second: model });
  const send = (body: object) =>
    handler(
      new Request("http://localhost/v1/embeddings", {
        method: "POST",
        headers: json,
        body: JSON.stringify(body),
      }),
    );
  expect((await send({ input: "a" })).status).toBe(400);
  expect((await send({ input: "a", model: "second" })).status).toBe(200);
  for (const path of ["org/first", "org%2Ffirst"])
    expect((await handler(new Request(`http://localhost/v1/models/${path}`))).status).toBe(200);
  await handler.dispose();
});

describe("images", () => {
  const embed = (image: string) => service.post("/v1/embeddings", { input: [{ text: "a" }, { image }] });

  test.each([
    ["a path", "/etc/passwd"],
    ["a relative path", "./photo.jpg"],
    ["a file: URL", "file:///etc/passwd"],
    ["an https: URL, unless hosts are allowed", "https://example.com/a.png"],
    ["an http: URL", "http://127.0.0.1/a.png"],
    ["another scheme", "ftp://example.com/a.png"],
    ["a data: URI without a comma", "data:image/png;base64"],
    ["a data: URI that is not base64", "data:image/png,abc"],
    ["a data: URI of broken base64", "data:image/png;base64,iVBOR w0KGgo*"],
    ["base64 of no image", Buffer.from("hello there").toString("base64")],
    [
      "SVG",
      `data:image/svg+xml;base64,${Buffer.from("<svg xmlns='http://www.w3.org/2000/svg'/>").toString("base64")}`,
    ],
    ["nothing", ""],
  ])("refuses %s", async (_, image) => {
    const { status, json } = await embed(image);
    expect([status, json.error.param]).toEqual([400, "input[1]"]);
    expect(json.error.message).not.toMatch(/root:|passwd:/);
  });

  test("says how to allow URLs", async () => {
    const { json } = await embed("https://example.com/a.png");
    expect(json.error.message).toContain("--allow-image-hosts");
  });

  test("fetches none of a host that is not allowed", async () => {
    const guarded = serviceOf(model, { allowImageHosts: ["images.example.com"] });
    const { status, json } = await guarded.post("/v1/embeddings", {
      input: [{ image: "https://other.example.com/a.png" }],
    });
    expect([status, json.error.param]).toEqual([403, "input[0]"]);
    await guarded.handler.dispose();
  });

  test("reads base64 with line breaks", async () => {
    const lines = red.toString("base64").replace(/.{20}/g, "$&\r\n");
    expect((await embed(`data:image/png;base64,${lines}`)).status).toBe(200);
  });
});

describe("bodies", () => {
  test.each([
    ["text/plain", "a cat"],
    ["application/x-www-form-urlencoded", "input=a"],
    ["application/xml", "<input/>"],
  ])("of %s are refused with 415", async (contentType, body) => {
    const { status, headers } = await service.send("/v1/embeddings", {
      body,
      headers: { "content-type": contentType },
    });
    expect([status, headers.get("accept")]).toEqual([415, "application/json, multipart/form-data, image/*"]);
  });

  test("that are compressed are refused with 415", async () => {
    const body = new Uint8Array(gzipSync(JSON.stringify({ input: "a" })));
    const headers = { ...json, "content-encoding": "gzip" };
    const { status, json: answer } = await service.send("/v1/embeddings", { body, headers });
    expect([status, answer.error.code]).toEqual([415, "unsupported_encoding"]);
  });

  test("that are broken forms are refused with 400", async () => {
    const headers = { "content-type": "multipart/form-data; boundary=x" };
    const { status, json: answer } = await service.send("/v1/embeddings", { body: "--y\r\n", headers });
    expect([status, answer.error.code]).toEqual([400, "invalid_form"]);
  });

  test("with an image that is cut short name it", async () => {
    const headers = { "content-type": "image/png" };
    const body = new Uint8Array(red.subarray(0, 60));
    const { status, json: answer } = await service.send("/v1/embeddings", { body, headers });
    expect([status, answer.error.param]).toEqual([400, "input[0]"]);
  });
});

describe("paths and methods", () => {
  test("an unknown path is 404", async () => {
    const { status, json } = await service.get("/v1/embedding");
    expect([status, json.error.code]).toEqual([404, "not_found"]);
  });

  test("another method is 405, with those that there are", async () => {
    const get = await service.get("/v1/embeddings");
    expect([get.status, get.headers.get("allow")]).toEqual([405, "POST"]);
    const put = await service.send("/v1/models", { method: "PUT" });
    expect([put.status, put.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });

  test("HEAD is answered without a body", async () => {
    const { status, json, headers } = await service.get("/healthz", { method: "HEAD" });
    expect([status, json, headers.get("content-type")]).toEqual([200, "", "application/json"]);
  });

  test("a base path is removed", async () => {
    const mounted = serviceOf(model, { basePath: "/api/clip" });
    expect((await mounted.get("/api/clip/healthz")).status).toBe(200);
    await mounted.handler.dispose();
  });
});

test("a URI of an image in a JSON string with escapes", async () => {
  const body = JSON.stringify({ input: dataUri(red) }).replaceAll("/", "\\/");
  const { status } = await service.send("/v1/embeddings", { body, headers: json });
  expect(status).toBe(200);
});
