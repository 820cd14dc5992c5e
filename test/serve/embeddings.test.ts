import type { EvaClip } from "eva-clip";
import { type Answer, dataUri, expectRows, makeModel, picture, type Service, serviceOf } from "./service";

let model: EvaClip;
let service: Service;
let red: Buffer;
let blue: Buffer;

beforeAll(async () => {
  model = await makeModel({ matryoshka_dimensions: [8, 16] });
  service = serviceOf(model);
  [red, blue] = await Promise.all([picture("red"), picture("blue", 30, 50)]);
});

afterAll(async () => {
  await service.handler.dispose();
  await model.dispose();
});

const rowsOf = ({ json }: Answer) => json.data.map(({ embedding }: { embedding: number[] }) => embedding);
const texts = ["a cat", "a dog on the beach"];

describe("POST /v1/embeddings takes the shape of", () => {
  test("OpenAI: texts", async () => {
    const { status, json } = await service.post("/v1/embeddings", {
      model: "eva-clip",
      input: texts,
      user: "u",
    });
    expect(status).toBe(200);
    const tokens = texts.reduce((sum, text) => sum + model.tokenizer.encode(text).length, 0);
    expect(json).toMatchObject({
      object: "list",
      model: "eva-clip",
      data: [
        { object: "embedding", index: 0 },
        { object: "embedding", index: 1 },
      ],
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    });
    expectRows(rowsOf({ json } as Answer), await model.encodeText(texts));
  });

  test("OpenAI: one text, without a model", async () => {
    const answer = await service.post("/v1/embeddings", { input: "a cat" });
    expectRows(rowsOf(answer), [await model.encodeText("a cat")]);
  });

  test("Infinity: modality image, and its older path", async () => {
    const expected = await model.encodeImage([red, blue]);
    const input = [dataUri(red), blue.toString("base64")];
    expectRows(rowsOf(await service.post("/v1/embeddings", { input, modality: "image" })), expected);
    expectRows(rowsOf(await service.post("/embeddings_image", { input })), expected);
    expectRows(rowsOf(await service.post("/embeddings", { input, modality: "image" })), expected);
  });

  test("Jina: a mixed list", async () => {
    const input = [
      { text: "a cat" },
      { image: dataUri(red) },
      "a dog",
      { image: blue.toString("base64url") },
    ];
    const body = { input, normalized: false, embedding_type: "float", task: "retrieval.query" };
    const answer = await service.post("/v1/embeddings", body);
    const raw = { normalize: false };
    const [cat, dog] = await model.encodeText(["a cat", "a dog"], raw);
    const [first, second] = await model.encodeImage([red, blue], raw);
    expectRows(rowsOf(answer), [cat!, first!, dog!, second!]);
  });

  test("vLLM: messages", async () => {
    const send = (content: unknown) =>
      service.post("/v1/embeddings", { messages: [{ role: "user", content }] });
    const image = await send([{ type: "image_url", image_url: { url: dataUri(red) } }]);
    expectRows(rowsOf(image), await model.encodeImage([red]));
    expectRows(rowsOf(await send([{ type: "text", text: "a cat" }])), await model.encodeText(["a cat"]));
    expectRows(rowsOf(await send("a cat")), await model.encodeText(["a cat"]));
    const both = await send([
      { type: "text", text: "a cat" },
      { type: "image_url", image_url: { url: dataUri(red) } },
    ]);
    expect([both.status, both.json.error.param]).toEqual([400, "messages[0].content"]);
  });

  test("a form, with files and texts in order", async () => {
    const body = new FormData();
    body.append("encoding_format", "base64");
    body.append("image", new Blob([new Uint8Array(red)], { type: "image/png" }), "red.png");
    body.append("input", "a cat");
    body.append("file", new Blob([new Uint8Array(blue)]), "blue.png");
    const { json } = await service.send("/v1/embeddings", { body });
    const rows = json.data.map(({ embedding }: { embedding: string }) => floatsOf(embedding));
    const [first, second] = await model.encodeImage([red, blue]);
    expectRows(rows, [first!, await model.encodeText("a cat"), second!]);
  });

  test("an image as the body", async () => {
    const headers = { "content-type": "image/png" };
    const body = new Uint8Array(red);
    const answer = await service.send("/v1/embeddings?dimensions=16", { body, headers });
    expect(rowsOf(answer)[0]).toHaveLength(16);
    expectRows(
      rowsOf(await service.send("/v1/embeddings", { body, headers })),
      await model.encodeImage([red]),
    );
  });

  test("strings that are data: URIs of images are images, unless they are said to be texts", async () => {
    const image = await service.post("/v1/embeddings", { input: dataUri(red) });
    expectRows(rowsOf(image), await model.encodeImage([red]));
    const text = await service.post("/v1/embeddings", { input: dataUri(red), modality: "text" });
    expectRows(rowsOf(text), await model.encodeText([dataUri(red)]));
  });
});

function floatsOf(base64: string): Float32Array {
  const bytes = Buffer.from(base64, "base64");
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
}

describe("encodings", () => {
  const encode = async (encoding_format: string) =>
    rowsOf(await service.post("/v1/embeddings", { input: texts, encoding_format }));

  test("base64 is little-endian f32, bit for bit the numbers of float", async () => {
    const floats = await encode("float");
    (await encode("base64")).forEach((row: string, i: number) => {
      expect(Array.from(floatsOf(row))).toEqual(floats[i]);
    });
  });

  test("ubinary packs the signs, the first in the highest bit; binary is less 128", async () => {
    const floats: number[][] = await encode("float");
    const packed = floats.map((row) =>
      Array.from({ length: row.length / 8 }, (_, byte) =>
        row.slice(8 * byte, 8 * byte + 8).reduce((bits, value) => 2 * bits + (value > 0 ? 1 : 0), 0),
      ),
    );
    expect(await encode("ubinary")).toEqual(packed);
    expect(await encode("binary")).toEqual(packed.map((row) => row.map((byte) => byte - 128)));
  });

  test("dimensions cut and normalize again, where the model allows it", async () => {
    const full = await model.encodeText("a cat");
    const { json } = await service.post("/v1/embeddings", { input: "a cat", dimensions: 8 });
    const length = Math.hypot(...full.slice(0, 8));
    expectRows([json.data[0].embedding], [full.slice(0, 8).map((value) => value / length)]);
    const raw = await service.post("/v1/embeddings", { input: "a cat", dimensions: 8, normalized: false });
    const unnormalized = await model.encodeText("a cat", { normalize: false });
    expectRows(rowsOf(raw), [unnormalized.slice(0, 8)]);
    const other = await service.post("/v1/embeddings", { input: "a cat", dimensions: 9 });
    expect(other.status).toBe(400);
    expect(other.json.error).toMatchObject({ param: "dimensions", code: "unsupported_dimensions" });
  });
});

describe("POST /v2/embed, Cohere's shape", () => {
  test("answers each type of embedding", async () => {
    const body = {
      model: "eva-clip",
      input_type: "search_query",
      texts,
      embedding_types: ["float", "ubinary"],
    };
    const { status, json } = await service.post("/v2/embed", body);
    expect(status).toBe(200);
    expectRows(json.embeddings.float, await model.encodeText(texts));
    expect(json.embeddings.ubinary[0]).toHaveLength(4);
    expect(json).toMatchObject({
      response_type: "embeddings_by_type",
      meta: { billed_units: { images: 0 } },
    });
    expect(json.id).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("takes images and inputs, and a shorter dimension", async () => {
    const images = await service.post("/v2/embed", { images: [dataUri(red)], output_dimension: 16 });
    expect(images.json.embeddings.float[0]).toHaveLength(16);
    const content = [{ type: "image_url", image_url: { url: dataUri(blue) } }];
    const inputs = [{ content: [{ type: "text", text: "a cat" }] }, { content }];
    const { json } = await service.post("/v2/embed", { inputs });
    const [image] = await model.encodeImage([blue]);
    expectRows(json.embeddings.float, [await model.encodeText("a cat"), image!]);
  });

  test.each([
    [{ texts: ["a"], images: ["b"] }, "texts"],
    [{}, "texts"],
    [{ texts: ["a"], embedding_types: ["int8"] }, "embedding_types[0]"],
    [{ texts: ["a"], truncate: "START" }, "truncate"],
    [{ texts: ["a ".repeat(100)], truncate: "NONE" }, "texts[0]"],
    [{ texts: ["a"], output_dimension: 5 }, "output_dimension"],
  ])("refuses %j", async (body, param) => {
    const { status, json } = await service.post("/v2/embed", body);
    expect([status, json.error.param]).toEqual([400, param]);
  });
});

test("POST /embed answers lists of numbers, as text-embeddings-inference does", async () => {
  const { json } = await service.post("/embed", { inputs: texts, truncate: true });
  expectRows(json, await model.encodeText(texts));
});

describe("a poisoned request", () => {
  test("fails alone, naming its input, while others in the batch are answered", async () => {
    const good = Array.from({ length: 4 }, () =>
      service.post("/v1/embeddings", { input: [{ image: dataUri(red) }, "a cat"] }),
    );
    const cut = dataUri(blue.subarray(0, blue.length - 20));
    const input = [dataUri(red), "a cat", dataUri(red), cut];
    const { status, json } = await service.post("/v1/embeddings", { input });
    expect(status).toBe(400);
    expect(json.error).toMatchObject({
      param: "input[3]",
      code: "invalid_image",
      type: "invalid_request_error",
    });
    const [image] = await model.encodeImage([red]);
    const text = await model.encodeText("a cat");
    for (const answer of await Promise.all(good)) expectRows(rowsOf(answer), [image!, text]);
  });
});

test("a configuration may not allow dimensions that its embeddings do not have", async () => {
  await expect(makeModel({ matryoshka_dimensions: [64] })).rejects.toMatchObject({
    code: "ERR_EVACLIP_INVALID_CONFIG",
    message: expect.stringContaining("matryoshka_dimensions"),
  });
});
