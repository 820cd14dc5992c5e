import { join } from "node:path";
import { Device } from "../../lib/device";
import { EvaClip } from "../../lib/clip/eva_clip";
import { tinyConfig, tinyTokenizer } from "../support/tiny_clip";

const options = { device: "cpu", threads: 1, tokenizer: tinyTokenizer, init: "fan_in" } as const;
const picture = join(__dirname, "..", "fixtures", "image_rgb_tall.png");
const PIXELS = 3 * 16 * 16;

let model: EvaClip;
beforeAll(async () => {
  model = await EvaClip.create(tinyConfig, options);
});
afterAll(() => model.dispose());

const vector = new Float32Array(16);
const pixels = new Uint8Array(PIXELS);
const tokens = Int32Array.of(30, 31);
const INVALID = "ERR_EVACLIP_INVALID_ARGUMENT";

/** Calls of the model's methods with arguments of any type. */
const call =
  (method: keyof EvaClip, ...given: unknown[]) =>
  () =>
    (model[method] as (...of: unknown[]) => Promise<unknown>)(...given);

const NO_TEXT: [string, unknown][] = [
  ["a number", 5],
  ["an object", {}],
  ["a Set", new Set(["a"])],
  ["undefined", undefined],
  ["null", null],
  ["a String object", new String("a")],
  ["a list with a number", ["a", 5]],
  ["a list with a hole", new Array(1)],
  ["a list of no end", new Array(2 ** 32 - 1)],
];

test.each<[string, () => Promise<unknown>, string, string?]>([
  ...NO_TEXT.map(([what, value]): [string, () => Promise<unknown>, string, string] => [
    `encodeText of ${what}`,
    call("encodeText", value),
    INVALID,
    "encodeText: captions",
  ]),
  ["encodeImage of a number", call("encodeImage", 5), INVALID],
  ["encodeImage of a list of no end", call("encodeImage", new Array(2 ** 32 - 1)), INVALID],
  ["similarity of a list of no end", call("similarity", new Array(2 ** 32 - 1), vector), INVALID],
  ["classify, labels of no end", call("classify", picture, new Array(2 ** 32 - 1)), INVALID],
  ["encodeImage of nothing", call("encodeImage"), INVALID],
  ["encodeImage of a list with null", call("encodeImage", [picture, null]), INVALID],
  ["encodePixels, batch as text", call("encodePixels", pixels, "1"), INVALID, 'found "1"'],
  ["encodePixels, batch 1.5", call("encodePixels", pixels, 1.5), INVALID],
  ["encodePixels, batch -1", call("encodePixels", pixels, -1), INVALID],
  ["encodePixels, batch NaN", call("encodePixels", pixels, Number.NaN), INVALID],
  ["encodePixels, batch 2 of 1", call("encodePixels", pixels, 2), "ERR_EVACLIP_SHAPE"],
  ["encodePixels of nothing", call("encodePixels", undefined, 1), INVALID],
  ["encodePixels of a list", call("encodePixels", Array.from(pixels), 1), INVALID],
  ["encodePixels of a DataView", call("encodePixels", new DataView(pixels.buffer), 1), INVALID],
  ["encodeTokens of a list", call("encodeTokens", [30, 31], 1), INVALID, "Int32Array"],
  ["encodeTokens of floats", call("encodeTokens", new Float32Array(2), 1), INVALID],
  ["encodeTokens, batch 0", call("encodeTokens", tokens, 0), INVALID],
  ["encodeTokens, batch null", call("encodeTokens", tokens, null), INVALID],
  ["similarity of undefined", call("similarity", undefined, vector), INVALID, "similarity: a"],
  ["similarity with a number", call("similarity", vector, 5), INVALID, "similarity: b"],
  ["similarity of numbers", call("similarity", Array.from(vector), vector), INVALID, "similarity: a[0]"],
  [
    "similarity, two in one",
    call("similarity", new Float32Array(32), vector),
    "ERR_EVACLIP_SHAPE",
    "found 32",
  ],
  ["similarity, too short", call("similarity", [new Float32Array(3)], vector), "ERR_EVACLIP_SHAPE", "a[0]"],
  ["similarity, empty", call("similarity", new Float32Array(0), vector), "ERR_EVACLIP_SHAPE"],
  ["classify without labels", call("classify", picture), INVALID, "classify: labels"],
  ["classify with no labels", call("classify", picture, []), INVALID],
  ["classify, labels as text", call("classify", picture, "dog"), INVALID, "a list of strings"],
  ["classify, labels as a Set", call("classify", picture, new Set(["dog"])), INVALID],
  ["classify, a label of null", call("classify", picture, ["dog", null]), INVALID, "labels[1]"],
  ["save to nothing", call("save", undefined), INVALID],
  ["save to an empty path", call("save", ""), INVALID],
  ["save to null characters", call("save", "a\0b"), INVALID],
  ["asOneCall without work", call("asOneCall", 5), INVALID],
])("%s rejects", async (_, run, code, message = "") => {
  const promise = run();
  await expect(promise).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
});

const METHODS: [keyof EvaClip, unknown[]][] = [
  ["encodeText", ["cat"]],
  ["encodeImage", [picture]],
  ["encodePixels", [pixels, 1]],
  ["encodeTokens", [tokens, 1]],
  ["similarity", [vector, vector]],
  ["classify", [picture, ["dog"]]],
];
const ENCODING: (keyof EvaClip)[] = ["encodeText", "encodeImage", "encodePixels", "encodeTokens"];

describe.each(METHODS)("options of %s", (method, given) => {
  test.each<[unknown, string]>([
    [null, "must be an object"],
    [5, "must be an object"],
    ["fast", "must be an object"],
    [{ signal: 5 }, "options.signal must be an AbortSignal"],
    [{ signl: undefined }, "did you mean signal?"],
    ...(ENCODING.includes(method)
      ? ([
          [{ normalise: false }, "did you mean normalize?"],
          [{ normalize: 0 }, "options.normalize must be true or false"],
          [{ batchSize: 0 }, "options.batchSize must be at least 1"],
          [{ batchSize: "3" }, 'found "3"'],
        ] satisfies [unknown, string][])
      : []),
    ...(method === "classify"
      ? ([
          [{ topK: 0 }, "options.topK must be at least 1"],
          [{ topK: -1 }, "options.topK must be at least 1"],
          [{ topK: Number.NaN }, "options.topK must be an integer"],
          [{ topK: "1" }, "options.topK must be an integer"],
          [{ topk: 1 }, "did you mean topK?"],
          [{ templates: "a {}" }, "options.templates must be a list"],
          [{ templates: [] }, "options.templates must be a list of length at least 1"],
          [{ templates: [5] }, "options.templates[0] must be a string, found 5"],
          [{ templates: ["a"] }, "needs {} where the class name goes"],
          [{ templates: [() => "a {}"] }, "found a function"],
        ] satisfies [unknown, string][])
      : []),
  ])("%p are refused", async (wrong, message) => {
    await expect(call(method, ...given, wrong)()).rejects.toMatchObject({
      code: INVALID,
      message: expect.stringContaining(message),
    });
  });
});

test("empty lists give empty lists", async () => {
  expect(await model.encodeText([])).toEqual([]);
  expect(await model.encodeImage([])).toEqual([]);
  expect(await model.encodePixels(new Float32Array(0), 0)).toEqual(new Float32Array(0));
  expect(await model.classify([], ["dog"])).toEqual([]);
  expect(await model.similarity([], [vector])).toEqual([]);
  expect(await model.similarity([vector], [])).toEqual([new Float32Array(0)]);
});

test("a list of one gives a list, and one with a list a row", async () => {
  const [row] = await model.encodeText(["cat"]);
  expect(await model.similarity(row!, [row!, row!])).toHaveLength(1);
  expect(await model.classify([picture], ["dog"])).toHaveLength(1);
});

test.each<[string, unknown]>([
  ["no ids", []],
  ["text", "abc"],
  ["nothing", undefined],
  ["too many ids", new Array(9).fill(31)],
  ["an id beyond the vocabulary", [30, 32]],
  ["an id below 0", [30, -1]],
  ["an id that is no integer", [30, 1.5, 31]],
  ["NaN", [30, Number.NaN]],
])("a tokenizer that gives %s is refused", async (_, ids) => {
  const tokenizer = { vocabularySize: 32, encode: () => ids as number[] };
  await using other = await EvaClip.create(tinyConfig, { ...options, tokenizer });
  await expect(other.encodeText("cat")).rejects.toMatchObject({ code: INVALID });
});

test("an EvaClip is made of a model and a device", async () => {
  await using device = await Device.open("cpu", { threads: 1 });
  const make = EvaClip as unknown as new (...given: unknown[]) => EvaClip;
  const refused = expect.objectContaining({ code: INVALID });
  expect(() => new make(tinyConfig, device)).toThrow(refused);
  expect(() => new make(model.model, "cpu")).toThrow(refused);
  expect(() => new make(model.model, device, { tokenizer: {} })).toThrow(refused);
  expect(() => new make(model.model, device, { own: "model" })).toThrow(refused);
});

test.each(["/proc/eva-clip/x", "/dev/null/x", "/dev/null"])(
  "save to %s rejects with a code",
  async (path) => {
    await expect(model.save(path)).rejects.toMatchObject({ code: "ERR_EVACLIP_IO" });
  },
);
