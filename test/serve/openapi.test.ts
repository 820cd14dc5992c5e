import Ajv from "ajv/dist/2020";
import type { EvaClip } from "eva-clip";
import { dataUri, makeModel, picture, type Service, serviceOf } from "./service";

let model: EvaClip;
let service: Service;

beforeAll(async () => {
  model = await makeModel();
  service = serviceOf(model, { apiKey: "secret" });
});

afterAll(async () => {
  await service.handler.dispose();
  await model.dispose();
});

const key = { headers: { authorization: "Bearer secret" } };
const ajv = new Ajv({ strict: false });

test("GET /openapi.json describes each endpoint with the schemas that check its requests", async () => {
  const { json } = await service.get("/openapi.json");
  expect(json).toMatchObject({ openapi: "3.1.0", info: { title: "eva-clip" } });
  expect(Object.keys(json.paths)).toEqual(
    expect.arrayContaining([
      ...["/v1/embeddings", "/v2/embed", "/embed", "/v1/classify", "/v1/models", "/v1/models/{name}"],
      ...["/healthz", "/readyz", "/metrics", "/openapi.json"],
    ]),
  );
  const { requestBody, responses } = json.paths["/v1/embeddings"].post;
  expect(Object.keys(requestBody.content)).toEqual(["application/json", "multipart/form-data", "image/*"]);
  expect(Object.keys(responses)).toEqual(expect.arrayContaining(["200", "400", "413", "429", "504"]));
});

test("the described schemas hold for requests and answers", async () => {
  const { json: api } = await service.get("/openapi.json");
  const image = dataUri(await picture("red"));
  const requests: [path: string, body: object][] = [
    ["/v1/embeddings", { input: ["a", { text: "b" }, { image }], encoding_format: "base64" }],
    ["/v1/embeddings", { messages: [{ role: "user", content: [{ type: "text", text: "a" }] }] }],
    ["/v2/embed", { texts: ["a"], embedding_types: ["float", "base64", "binary", "ubinary"] }],
    ["/embed", { inputs: "a" }],
    ["/v1/classify", { image, labels: ["a", "b"], templates: ["a {}"], top_k: 1 }],
  ];
  for (const [path, body] of requests) {
    const { requestBody, responses } = api.paths[path].post;
    expect(ajv.validate(requestBody.content["application/json"].schema, body)).toBe(true);
    const { status, json } = await service.post(path, body, key);
    expect(status).toBe(200);
    ajv.validate(responses[200].content["application/json"].schema, json);
    expect(ajv.errors).toBeNull();
    const wrong = { ...body, unknown_field: 1 };
    expect(ajv.validate(requestBody.content["application/json"].schema, wrong)).toBe(false);
    const { json: refusal } = await service.post(path, wrong, key);
    ajv.validate(api.components.schemas.Error, refusal);
    expect(ajv.errors).toBeNull();
  }
  for (const [path, name] of [
    ["/v1/models", ""],
    ["/v1/models/{name}", "eva-clip"],
  ] as const) {
    const { json } = await service.get(path.replace("{name}", name), key);
    ajv.validate(api.paths[path].get.responses[200].content["application/json"].schema, json);
    expect(ajv.errors).toBeNull();
  }
});

test("GET /v1/models tells what a model can do and what requests may ask for", async () => {
  const { json } = await service.get("/v1/models", key);
  expect(json.object).toBe("list");
  expect(json.data).toEqual([
    expect.objectContaining({
      ...{ id: "eva-clip", object: "model", embed_dim: 32, image_size: 32, context_length: 77 },
      ...{ precision: "f32", device: "cpu", dimensions: null, fallback_reason: null },
      limits: expect.objectContaining({ max_images: 32, max_texts: 2048, max_queue: 4096 }),
    }),
  ]);
  expect(json.data[0].logit_scale).toBeCloseTo(1 / 0.07, 4);
  const { json: one } = await service.get("/v1/models/eva-clip", key);
  expect(one).toMatchObject(json.data[0]);
  const missing = await service.get("/v1/models/gpt-4", key);
  expect([missing.status, missing.json.error.code]).toEqual([404, "model_not_found"]);
});
