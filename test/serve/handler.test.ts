import { EvaClip } from "eva-clip";
import smallModel from "../../scripts/package_consumer/small_model.json";
import { createHandler, type RequestHandler } from "../../lib/serve/handler";

let model: EvaClip;
let handler: RequestHandler;

beforeAll(async () => {
  model = await EvaClip.create(smallModel, { device: "cpu", threads: 1, init: "fan_in" });
  handler = createHandler(model);
});

afterAll(async () => {
  await handler.dispose();
  await model.dispose();
});

const url = (path: string) => `http://localhost${path}`;
const post = (path: string, body: unknown) =>
  handler(new Request(url(path), { method: "POST", body: JSON.stringify(body) }));

test("healthz says that the process is alive", async () => {
  const response = await handler(new Request(url("/healthz")));
  expect([response.status, await response.json()]).toEqual([200, { status: "ok" }]);
});

test("embeddings of texts are those of the model", async () => {
  const response = await post("/v1/embeddings", { input: ["a cat", "a dog"] });
  const { data } = (await response.json()) as { data: { embedding: number[] }[] };
  const expected = await model.encodeText(["a cat", "a dog"]);
  data.forEach(({ embedding }, i) => {
    embedding.forEach((value, k) => expect(value).toBeCloseTo(expected[i]![k]!, 6));
  });
});
