import { join } from "node:path";
import { bestLabels } from "../../lib/clip/classification";
import { EvaClip } from "../../lib/clip/eva_clip";
import { Device } from "../../lib/device";
import { Parameter } from "../../lib/parameter";
import { tinyConfig, tinyTokenizer } from "../support/tiny_clip";

/** What happened, in order: `run`, `ran` of programs, `read` of parameters, `decode` of images. */
const events: string[] = [];
jest.mock("../../lib/compile_by_shape", () => {
  const actual = jest.requireActual("../../lib/compile_by_shape");
  const counted = (...given: unknown[]) => {
    const program = actual.compileByShape(...given);
    const run = async (inputs: unknown) => {
      events.push("run");
      const results = await program(inputs);
      events.push("ran");
      return results;
    };
    return Object.assign(run, program);
  };
  return { ...actual, compileByShape: counted };
});
const read = Parameter.prototype.read;
jest.spyOn(Parameter.prototype, "read").mockImplementation(function (this: Parameter) {
  events.push("read");
  return read.call(this);
});

const encoded: string[] = [];
const tokenizer = {
  ...tinyTokenizer,
  encode: (caption: string, contextLength?: number) => {
    encoded.push(caption);
    return tinyTokenizer.encode(caption, contextLength);
  },
};
const options = { device: "cpu", threads: 1, tokenizer, init: "fan_in" } as const;
const fixture = (name: string) => join(__dirname, "..", "fixtures", name);
const pictures = [fixture("image_rgb_tall.png"), fixture("image_gray.png"), fixture("image_rgb_wide.png")];
const labels = ["cat", "dog", "fish", "bird", "house", "tree"];
const disposed = { code: "ERR_EVACLIP_DISPOSED" };

let model: EvaClip;
beforeAll(async () => {
  model = await EvaClip.create(tinyConfig, options);
});
beforeEach(() => {
  events.length = 0;
  encoded.length = 0;
});
afterAll(() => model.dispose());

/** An image whose decoding is an event. */
const observed = (index: number) => {
  const data = new Uint8Array(16 * 16 * 3).fill(40 * index);
  const image = { data, width: 16, height: 16, channels: 3 as const };
  return Object.defineProperty(new Blob([]), "arrayBuffer", {
    value: async () => {
      events.push(`decode ${index}`);
      return require("sharp")(data, { raw: image }).png().toBuffer();
    },
  });
};

test("similarities are the cosines of the embeddings, probabilities their softmax, best first", async () => {
  await using classifier = await model.classifier(labels, { templates: ["a {}", "the {}"] });
  expect(classifier.labels).toEqual(labels);
  const [found] = await classifier.classify([pictures[0]!], { topK: 6 });
  const image = await model.encodeImage(pictures[0]!);
  const scale = Math.exp((await model.model.logitScale.read()).item());
  const cosines = await Promise.all(
    labels.map(async (label) => {
      const [a, the] = await model.encodeText([`a ${label}`, `the ${label}`]);
      const mean = a!.map((value, i) => value + the![i]!);
      return (await model.similarity(image, mean)) / Math.hypot(...mean);
    }),
  );
  const total = cosines.reduce((sum, cosine) => sum + Math.exp(scale * cosine), 0);
  for (const { label, similarity, probability } of found!) {
    const cosine = cosines[labels.indexOf(label)]!;
    expect(similarity).toBeCloseTo(cosine, 5);
    expect(probability).toBeCloseTo(Math.exp(scale * cosine) / total, 4);
  }
  expect(found!.map(({ similarity }) => similarity)).toEqual(
    [...cosines].sort((a, b) => b - a).map((cosine) => expect.closeTo(cosine, 5)),
  );
  expect(await model.classify(pictures[0]!, labels, { templates: ["a {}", "the {}"], topK: 6 })).toEqual(
    found,
  );
});

test("equal labels keep the order in which they were given", () => {
  const names = ["a", "b", "c", "d", "e"];
  const similarity = Float32Array.of(0.5, 0.25, 0.5, 0.75, 0.5);
  const best = (topK?: number) =>
    bestLabels(names, similarity, new Float32Array(5).fill(0.2), topK).map(({ label }) => label);
  expect(best(3)).toEqual(["d", "a", "c"]);
  expect(best(1)).toEqual(["d"]);
  expect(best()).toEqual(["d", "a", "c", "e", "b"]);
  expect(best(100)).toEqual(["d", "a", "c", "e", "b"]);
});

test("once made, it does no text work: one program runs per batch of images, and nothing else", async () => {
  await using classifier = await model.classifier(labels);
  expect(encoded).toHaveLength(labels.length);
  encoded.length = events.length = 0;
  expect(await classifier.classify(pictures[0]!)).toHaveLength(5);
  expect(events).toEqual(["run", "ran"]);
  await classifier.classify([...pictures, pictures[0]!], { batchSize: 2 });
  expect(events).toEqual(["run", "ran", "run", "ran", "run", "ran"]);
  expect(encoded).toEqual([]);
});

test("so it is with a B/16 model", async () => {
  await using large = await EvaClip.create("EVA02-CLIP-B-16", { ...options, precision: "bf16" });
  await using classifier = await large.classifier(["cat", "dog"]);
  encoded.length = events.length = 0;
  await classifier.classify(pictures.slice(0, 2), { batchSize: 2 });
  expect(events).toEqual(["run", "ran"]);
  expect(encoded).toEqual([]);
});

test.each<[string, (images: Blob[]) => Promise<unknown>]>([
  ["encodeImage", (images) => model.encodeImage(images, { batchSize: 1 })],
  ["classify", (images) => model.classify(images, labels, { batchSize: 1 })],
])("%s: while one part is computed, the next is decoded, and none after it", async (_, call) => {
  await call([0, 1, 2, 3].map(observed));
  const first = events.indexOf("decode 0");
  const after = events.slice(first);
  const runs = after.flatMap((event, i) => (event === "run" ? [i] : []));
  const ends = after.flatMap((event, i) => (event === "ran" ? [i] : []));
  for (let part = 0; part < 3; part++) {
    const next = after.indexOf(`decode ${part + 1}`);
    expect(next).toBeLessThan(ends[part]!);
    if (part > 0) expect(next).toBeGreaterThan(runs[part - 1]!);
  }
});

test("an image that cannot be read is named by its own error, after the parts before it", async () => {
  await using classifier = await model.classifier(labels);
  events.length = 0;
  const call = classifier.classify([pictures[0]!, pictures[1]!, "nowhere.png"], { batchSize: 1 });
  const message = expect.stringContaining("nowhere.png");
  await expect(call).rejects.toMatchObject({ code: "ERR_EVACLIP_DATA", message });
  expect(events).toEqual(["run", "ran", "run", "ran"]);
});

test("its weights are those of the model when it was made", async () => {
  await using other = await EvaClip.create(tinyConfig, options);
  await using classifier = await other.classifier(labels);
  const before = await classifier.classify(pictures[0]!);
  const projection = other.model.stateDict().get("text.text_projection")!;
  await projection.write(new Float32Array(projection.size).fill(Number.NaN));
  expect(await classifier.classify(pictures[0]!)).toEqual(before);
  await expect(other.classifier(labels)).rejects.toMatchObject({ code: "ERR_EVACLIP_NOT_FINITE" });
});

describe("dispose", () => {
  test("waits for the calls under way, refuses later ones, and leaves the model alone", async () => {
    const classifier = await model.classifier(labels);
    expect(classifier.disposed).toBe(false);
    const underWay = classifier.classify(pictures, { batchSize: 1 });
    const ending = classifier.dispose();
    expect(classifier.dispose()).toBe(ending);
    expect(classifier.disposed).toBe(true);
    await expect(classifier.classify(pictures[0]!)).rejects.toMatchObject(disposed);
    await ending;
    expect(await underWay).toHaveLength(3);
    expect(await model.encodeText("cat")).toHaveLength(16);
  });

  test("the model's dispose waits for a classifier's calls and disposes the classifier", async () => {
    await using device = await Device.open("cpu", { threads: 1 });
    const other = await EvaClip.create(tinyConfig, { ...options, device });
    const classifier = await other.classifier(labels);
    const underWay = classifier.classify(pictures, { batchSize: 1 });
    const ending = other.dispose();
    expect(other.disposed).toBe(true);
    await ending;
    expect(await underWay).toHaveLength(3);
    expect(classifier.disposed).toBe(true);
    await expect(classifier.classify(pictures[0]!)).rejects.toMatchObject(disposed);
  });
});

test.each<[string, () => Promise<unknown>, string]>([
  ["no labels", () => model.classifier([]), "classifier: labels"],
  ["an unknown option", () => model.classifier(["a"], { topK: 1 } as never), "has no field"],
  ["a template without a place", () => model.classifier(["a"], { templates: ["a"] }), "needs {}"],
  [
    "templates in a call",
    async () => {
      await using classifier = await model.classifier(["a"]);
      return await classifier.classify(pictures[0]!, { templates: ["a {}"] } as never);
    },
    "has no field",
  ],
])("%s is refused", async (_, call, message) => {
  await expect(call()).rejects.toMatchObject({
    code: "ERR_EVACLIP_INVALID_ARGUMENT",
    message: expect.stringContaining(message),
  });
});

test("an aborted signal ends the making and the classification with its reason", async () => {
  const reason = new Error("no longer wanted");
  const signal = AbortSignal.abort(reason);
  await expect(model.classifier(labels, { signal })).rejects.toBe(reason);
  await using classifier = await model.classifier(labels);
  await expect(classifier.classify(pictures, { signal })).rejects.toBe(reason);
});
