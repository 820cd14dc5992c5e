// Clients of other services, as they are published.
import { InferenceClient } from "@huggingface/inference";
import type { EvaClip } from "eva-clip";
import { createHandler, type RequestHandler, type RunningServer, serve } from "eva-clip/serve";
import OpenAI from "openai";
import { dataUri, expectRows, makeModel, picture } from "./service";

let model: EvaClip;
let handler: RequestHandler;
let server: RunningServer;
let openai: OpenAI;
const texts = ["a cat", "a dog on the beach", "Ein Haus, groß und grün"];

beforeAll(async () => {
  model = await makeModel({ matryoshka_dimensions: [8] });
  handler = createHandler({ "small-clip": model }, { apiKey: "secret", limits: { maxTexts: 100 } });
  server = await serve(handler, { port: 0 });
  openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "secret", maxRetries: 0 });
});

afterAll(async () => {
  await server.close();
  await handler.dispose();
  await model.dispose();
});

describe("the openai package", () => {
  const embed = (more: Partial<OpenAI.EmbeddingCreateParams> = {}) =>
    openai.embeddings.create({ model: "small-clip", input: texts, ...more });
  const rows = ({ data }: OpenAI.CreateEmbeddingResponse) => data.map(({ embedding }) => embedding);

  test("gets texts, in its default encoding (base64) and as numbers", async () => {
    const expected = await model.encodeText(texts);
    expectRows(rows(await embed()), expected);
    expectRows(rows(await embed({ encoding_format: "float" })), expected);
    const { usage } = await embed();
    const tokens = texts.reduce((sum, text) => sum + model.tokenizer.encode(text).length, 0);
    expect(usage).toEqual({ prompt_tokens: tokens, total_tokens: tokens });
  });

  test("gets images, as strings and as items", async () => {
    const image = await picture("green");
    const expected = await model.encodeImage([image]);
    expectRows(rows(await embed({ input: [dataUri(image)] })), expected);
    expectRows(rows(await embed({ input: [{ image: dataUri(image) }] as unknown as string[] })), expected);
  });

  test("gets shorter embeddings", async () => {
    expect(rows(await embed({ dimensions: 8 }))[0]).toHaveLength(8);
    await expect(embed({ dimensions: 7 })).rejects.toMatchObject({ status: 400, param: "dimensions" });
  });

  test("lists models", async () => {
    const { data } = await openai.models.list();
    expect(data.map(({ id }) => id)).toEqual(["small-clip"]);
    expect(await openai.models.retrieve("small-clip")).toMatchObject({ embed_dim: 32 });
  });

  test("tells errors by their class, code and param", async () => {
    const error = await embed({ model: "other" }).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(OpenAI.NotFoundError);
    expect(error).toMatchObject({ code: "model_not_found", param: "model", type: "not_found_error" });
    const stranger = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "wrong", maxRetries: 0 });
    await expect(stranger.models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    await expect(embed({ input: [[1, 2]] })).rejects.toBeInstanceOf(OpenAI.BadRequestError);
  });

  test("sends requests at the same time", async () => {
    const expected = await model.encodeText(texts);
    const answers = await Promise.all(Array.from({ length: 32 }, () => embed()));
    for (const answer of answers) expectRows(rows(answer), expected);
  });
});

describe("the @huggingface/inference package", () => {
  test("gets features of texts", async () => {
    const client = new InferenceClient("secret", { endpointUrl: `${server.url}/embed` });
    const features = await client.featureExtraction({ inputs: texts });
    expectRows(features as number[][], await model.encodeText(texts));
  });
});
