import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CLIP_PREPROCESSING, EvaClip } from "eva-clip";
import { type ConfigStatement, type LayoutName, writeWeights } from "eva-clip/weights";
import { openSafetensors, writeSafetensors } from "../../lib/io/safetensors";
import { tinyTokenizer } from "../support/tiny_clip";
import { type TinyName, tinyConfigs } from "../support/tiny_models";

const options = { device: "cpu", threads: 1, tokenizer: tinyTokenizer } as const;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-open-"));
});
afterAll(() => rm(folder, { recursive: true }));

const pixels = Float32Array.from({ length: 3 * 16 * 16 }, (_, i) => Math.sin(i));

async function embeddings(model: EvaClip): Promise<number[]> {
  return [...(await model.encodePixels(pixels, 1)), ...(await model.encodeText("a cat"))];
}

/** A folder with a small model in a layout, and what the model gives. */
async function written(name: TinyName, layout: LayoutName) {
  await using model = await EvaClip.create(tinyConfigs[name], { ...options, init: "fan_in", seed: 4 });
  const path = join(folder, `${name}-${layout}`);
  const files = await writeWeights(path, model.model, { layout });
  return { path, weights: files[0]!, expected: await embeddings(model) };
}

test("weights beside their moving average need the option ema", async () => {
  const { weights, expected } = await written("eva02", "eva_clip");
  const path = join(folder, "with_ema.safetensors");
  await using source = await openSafetensors(weights);
  const both = await Promise.all(
    [...source.tensors].map(async ([name, { dtype, shape }]) => {
      const data = await source.read(name);
      const zeros = new Uint8Array(data.byteLength);
      return [
        { name: `model.${name}`, dtype, shape, data },
        { name: `ema.${name}`, dtype, shape, data: zeros },
      ];
    }),
  );
  await writeSafetensors(path, both.flat());
  const given = { ...options, config: tinyConfigs.eva02 };
  await expect(EvaClip.load(path, given)).rejects.toThrow(/--no-ema \(ema: false\)/);
  await using trained = await EvaClip.load(path, { ...given, ema: false });
  expect(await embeddings(trained)).toEqual(expected);
  await using averaged = await EvaClip.load(path, { ...given, ema: true });
  expect((await averaged.model.logitScale.read()).item()).toBe(0);
});

test("the options of a load are those of its call", async () => {
  const { path } = await written("plain", "openai");
  const config = structuredClone(tinyConfigs.plain) as { text_cfg: { context_length: number } };
  const expected = config.text_cfg.context_length;
  const given = { ...options, config: config as never };
  const loading = EvaClip.load(join(path, "model.safetensors"), given);
  config.text_cfg.context_length = 5;
  Object.assign(given, { precision: "mistake", config: "mistake" });
  await using model = await loading;
  expect(model.contextLength).toBe(expected);
});

test.each<[TinyName, LayoutName]>([
  ["eva02", "eva_clip"],
  ["eva01", "open_clip"],
  ["plain", "openai"],
  ["plain", "open_clip"],
  ["plain", "hugging_face"],
])("a folder of %s as %s: the same embeddings, and a report", async (name, layout) => {
  const { path, expected } = await written(name, layout);
  await using model = await EvaClip.load(path, options);
  expect(await embeddings(model)).toEqual(expected);
  expect(model.loadReport!.layout).toBe(name === "plain" && layout === "open_clip" ? "openai" : layout);
  expect(new Set(model.loadReport!.parameters.map(({ origin }) => origin))).toEqual(new Set(["loaded"]));
});

test("a bare file needs what its shapes do not tell", async () => {
  const { weights, expected } = await written("plain", "openai");
  const bare = join(folder, "bare.safetensors");
  await using source = await EvaClip.load(weights, options);
  const [, beside] = await writeWeights(bare, source.model);
  await rm(beside!);
  const load = (statement: ConfigStatement) => EvaClip.load(bare, { ...options, ...statement });
  const sizes = { vision_cfg: { head_width: 16 }, text_cfg: { heads: 2 } };
  await expect(load({ config: sizes })).rejects.toThrow(/state quick_gelu/);
  await expect(load({ quickGelu: true })).rejects.toThrow(/state vision_cfg\.head_width, text_cfg\.heads/);
  const enough = { config: sizes, quickGelu: true };
  await expect(load(enough)).rejects.toThrow(
    /cannot tell the preprocessing of .*bare.*: no file states it.*pass preprocessing with mean, std, interp.*, resize_mode/,
  );
  await expect(load({ ...enough, preprocessing: { mean: [0, 0, 0] } })).rejects.toThrow(
    /with std, interpolation,/,
  );
  await using model = await load({ ...enough, preprocessing: CLIP_PREPROCESSING });
  expect(await embeddings(model)).toEqual(expected);
});

test("another image size and a longer context: resized, and nothing left without a value", async () => {
  const { path } = await written("eva02", "open_clip");
  const config = { vision_cfg: { image_size: 32 }, text_cfg: { context_length: 12 } };
  await using model = await EvaClip.load(path, { ...options, config });
  expect([model.imageSize, model.contextLength]).toEqual([32, 12]);
  const resized = model.loadReport!.parameters.filter(({ origin }) => origin === "resized");
  expect(resized.map(({ name }) => name).sort()).toEqual(["text.positional_embedding", "visual.pos_embed"]);
  const rows = (await model.model.stateDict().get("text.positional_embedding")!.read()).data as Float32Array;
  expect(rows.slice(8 * 16).every((value) => Number.isFinite(value) && value !== 0)).toBe(true);
  const image = await model.encodePixels(new Float32Array(3 * 32 * 32), 1);
  expect(Math.hypot(...image)).toBeCloseTo(1, 5);
});

test("a model that was made has no report", async () => {
  await using model = await EvaClip.create(tinyConfigs.eva01, options);
  expect(model.loadReport).toBeUndefined();
});

test("a file in no layout is refused", async () => {
  const path = join(folder, "other.safetensors");
  const header = JSON.stringify({ "fc.weight": { dtype: "F32", shape: [1], data_offsets: [0, 4] } });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  await writeFile(path, Buffer.concat([length, Buffer.from(header), Buffer.alloc(4)]));
  await expect(EvaClip.load(path, options)).rejects.toMatchObject({
    code: "ERR_EVACLIP_CHECKPOINT_MISMATCH",
  });
});

test("onProgress gets fractions that never fall, from 0 to 1; its error rejects the load", async () => {
  const { path } = await written("eva02", "open_clip");
  const fractions: number[] = [];
  await using model = await EvaClip.load(path, { ...options, onProgress: (of) => fractions.push(of) });
  expect([fractions[0], fractions.at(-1)]).toEqual([0, 1]);
  expect(fractions).toHaveLength(model.model.parameters().length + 1);
  expect([...fractions].sort((a, b) => a - b)).toEqual(fractions);
  for (const throws of [true, false]) {
    const onProgress = (fraction: number) => {
      if (fraction < 0.5) return undefined;
      if (throws) throw new RangeError("mine");
      return Promise.reject(new RangeError("mine"));
    };
    await expect(EvaClip.load(path, { ...options, onProgress })).rejects.toThrow(new RangeError("mine"));
  }
});

test("a logger is told of weights that are resized and of rows that the file does not have", async () => {
  const { path } = await written("eva02", "open_clip");
  const logged: string[] = [];
  const log = (level: string) => (message: string) => logged.push(`${level} ${message}`);
  const logger = { info: log("info"), warn: log("warn") };
  const config = { vision_cfg: { image_size: 32 }, text_cfg: { context_length: 12 } };
  await using resized = await EvaClip.load(path, { ...options, config, logger });
  const positions = "text.positional_embedding";
  expect(logged).toEqual([
    expect.stringMatching(/^info .*visual\.pos_embed is resized: /),
    expect.stringMatching(`^info .*${positions} is resized: `),
    expect.stringMatching(`^warn .*${positions} is not in the file, or not all of it`),
  ]);
  logged.length = 0;
  await using same = await EvaClip.load(path, { ...options, logger });
  expect(logged).toEqual([]);
  expect([resized.contextLength, same.contextLength]).toEqual([12, 8]);
});
