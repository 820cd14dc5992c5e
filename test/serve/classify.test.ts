import { type EvaClip, SIMPLE_IMAGENET_TEMPLATES } from "eva-clip";
import { dataUri, makeModel, picture, type Service, serviceOf } from "./service";

let model: EvaClip;
let service: Service;
let red: Buffer;
let blue: Buffer;
const labels = ["cat", "dog", "house"];

beforeAll(async () => {
  model = await makeModel();
  service = serviceOf(model, { limits: { maxTexts: 100 } });
  [red, blue] = await Promise.all([picture("red"), picture("blue")]);
});

afterAll(async () => {
  await service.handler.dispose();
  await model.dispose();
});

interface Ranked {
  readonly label: string;
  readonly probability: number;
  readonly similarity: number;
}

function expectSame(found: readonly Ranked[], expected: readonly Ranked[]): void {
  expect(found.map(({ label }) => label)).toEqual(expected.map(({ label }) => label));
  found.forEach(({ probability, similarity }, i) => {
    expect(Math.abs(probability - expected[i]!.probability)).toBeLessThan(1e-5);
    expect(Math.abs(similarity - expected[i]!.similarity)).toBeLessThan(1e-6);
  });
}

test("labels, probabilities and similarities are those of the model's own classifier", async () => {
  const { status, json } = await service.post("/v1/classify", {
    images: [dataUri(red), dataUri(blue)],
    labels,
  });
  expect(status).toBe(200);
  const expected = await model.classify([red, blue], labels);
  json.data.forEach((one: { labels: Ranked[]; index: number }, i: number) => {
    expect(one.index).toBe(i);
    expectSame(one.labels, expected[i]!);
  });
  expect(json.data).toHaveLength(2);
});

test("templates and top_k", async () => {
  const templates = SIMPLE_IMAGENET_TEMPLATES;
  const body = { image: dataUri(red), labels, templates, top_k: 2 };
  const { json } = await service.post("/v1/classify", body);
  expectSame(json.data[0].labels, await model.classify(red, labels, { templates, topK: 2 }));
});

test("a form, and an image as the body", async () => {
  const expected = await model.classify(red, labels);
  const form = new FormData();
  form.append("file", new Blob([new Uint8Array(red)]), "red.png");
  for (const label of labels) form.append("labels", label);
  form.append("top_k", "3");
  const answer = await service.send("/v1/classify", { body: form });
  expectSame(answer.json.data[0].labels, expected);
  const query = labels.map((label) => `label=${label}`).join("&");
  const headers = { "content-type": "image/png" };
  const raw = await service.send(`/v1/classify?${query}`, { body: new Uint8Array(red), headers });
  expectSame(raw.json.data[0].labels, expected);
});

test("a changed list of labels embeds only its new ones", async () => {
  const metric = async () => {
    const { json } = await service.get("/metrics");
    return Number(/^eva_clip_texts_total\{model="eva-clip"\} (\d+)$/m.exec(json)?.[1]);
  };
  await service.post("/v1/classify", { image: dataUri(red), labels });
  const before = await metric();
  await service.post("/v1/classify", { image: dataUri(red), labels: [...labels, "a new one"] });
  expect((await metric()) - before).toBe(1);
});

test.each([
  ["no labels", { image: "x", labels: [] }, "labels", "labels must be a list of length at least 1"],
  ["labels left out", { image: "x" }, "labels", "labels must be a list of labels"],
  [
    "a label that is no text",
    { image: "x", labels: ["a", 1] },
    "labels[1]",
    "labels[1] must be a string, found 1",
  ],
  ["no image", { labels }, "image", "give either image or images"],
  ["a template without {}", { image: "x", labels, templates: ["a"] }, "templates[0]", "prompt template"],
  ["too many prompts", { image: "x", labels: Array(101).fill("a") }, "labels", "at most 100 prompts"],
  ["a misspelled field", { image: "x", labels, topK: 1 }, "topK", "did you mean top_k?"],
  ["no base64", { image: "photo.jpg", labels }, "image", "files are never read by path"],
])("refuses %s", async (_, body, param, message) => {
  const { status, json } = await service.post("/v1/classify", body);
  expect([status, json.error.param]).toEqual([400, param]);
  expect(json.error.message).toContain(message);
});
