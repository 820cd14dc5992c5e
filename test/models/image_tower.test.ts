import { compile, spec } from "../../lib/compile";
import { Device } from "../../lib/device";
import { grad } from "../../lib/grad";
import { clipLoss } from "../../lib/losses/clip_loss";
import { type ClipConfigInput, parseClipConfig } from "../../lib/models/clip_config";
import { ClipModel } from "../../lib/models/clip_model";
import { initializeParameters } from "../../lib/nn/initialize_parameters";
import { keptCount } from "../../lib/nn/token_drop";
import { initializeModel } from "../../lib/weights/initialize";
import { relativeError } from "../parity/relative_error";

const [BATCH, SIZE, PATCHES, EMBED] = [3, 32, 16, 24];

function configOf(vision: Partial<ClipConfigInput["vision_cfg"]>) {
  return parseClipConfig({
    embed_dim: EMBED,
    vision_cfg: { image_size: SIZE, layers: 2, width: 32, head_width: 16, patch_size: 8, ...vision },
    text_cfg: { context_length: 8, vocab_size: 50, width: 32, heads: 2, layers: 1 },
  });
}

const eva02 = {
  eva_model_name: "small",
  mlp_ratio: 2.6667,
  rope: true,
  intp_freq: true,
  naiveswiglu: true,
  subln: true,
};
const families: Record<string, Partial<ClipConfigInput["vision_cfg"]>> = {
  "EVA-02": eva02,
  "EVA-02, mean of the patches": { ...eva02, pool_type: "avg" },
  "EVA-01 with layer scale": { eva_model_name: "small", ls_init_value: 0.1 },
  "EVA-02-E": { eva_model_name: "small", postnorm: true },
  "OpenAI's": {},
};

const images = Float32Array.from(
  { length: BATCH * 3 * SIZE * SIZE },
  (_, i) => Math.sin(0.37 * i) + (i % 5) / 7,
);
const imageSpec = spec("f32", [BATCH, 3, SIZE, SIZE]);
const everyPatch = Int32Array.from({ length: BATCH * PATCHES }, (_, i) => i % PATCHES);

describe("image towers", () => {
  let device: Device;
  const models: ClipModel[] = [];
  beforeAll(async () => {
    device = await Device.open("cpu", { threads: 1 });
  });
  afterAll(async () => {
    for (const model of models) model.dispose();
    await device.dispose();
  });

  async function create(vision: Partial<ClipConfigInput["vision_cfg"]>): Promise<ClipModel> {
    const model = new ClipModel(configOf(vision), { init: "fan_in" });
    for (const parameter of model.parameters()) parameter.allocate(device);
    await initializeParameters(device, model.parameters(), 3);
    models.push(model);
    return model;
  }

  test.each(Object.keys(families))("%s: keeping every patch is not dropping any", async (family) => {
    const { image } = await create(families[family]!);
    const specs = { images: imageSpec, kept: spec("i32", [BATCH, PATCHES]), seed: spec("i32", [2]) };
    const program = await compile(device, specs, (x) => ({
      all: image.encode(x.images),
      kept: image.encode(x.images, { kept: x.kept }),
      trained: image.encode(x.images, { seed: x.seed, patchDropout: 0 }),
    }));
    const { all, kept, trained } = await program({ images, kept: everyPatch, seed: Int32Array.of(1, 2) });
    expect(relativeError(kept.toFloat32(), all.toFloat32())).toBeLessThan(1e-6);
    expect(trained.data).toEqual(all.data);
  });

  test.each(Object.keys(families))("%s: the order of the kept patches does not matter", async (family) => {
    const { image } = await create(families[family]!);
    const specs = { images: imageSpec, kept: spec("i32", [BATCH, 5]) };
    const program = await compile(device, specs, (x) => ({ y: image.encode(x.images, { kept: x.kept }) }));
    const ascending = Int32Array.from([0, 3, 4, 9, 15, 1, 2, 3, 4, 5, 2, 6, 8, 11, 14]);
    const shuffled = Int32Array.from([9, 0, 15, 4, 3, 5, 4, 3, 2, 1, 14, 11, 2, 8, 6]);
    const first = await program({ images, kept: ascending });
    const second = await program({ images, kept: shuffled });
    expect(relativeError(second.y.toFloat32(), first.y.toFloat32())).toBeLessThan(1e-5);
  });

  test("a training pass drops patches by seed and step", async () => {
    const { image } = await create({ ...eva02, patch_dropout: 0.5 });
    const program = await compile(device, { images: imageSpec, seed: spec("i32", [2]) }, (x) => ({
      all: image.encode(x.images),
      y: image.encode(x.images, { seed: x.seed }),
    }));
    const at = (seed: number, step: number) => program({ images, seed: Int32Array.of(seed, step) });
    const { y, all } = await at(1, 1);
    expect(relativeError(y.toFloat32(), all.toFloat32())).toBeGreaterThan(1e-3);
    expect((await at(1, 1)).y.data).toEqual(y.data);
    expect((await at(1, 2)).y.data).not.toEqual(y.data);
    expect((await at(2, 1)).y.data).not.toEqual(y.data);
  });

  test("stochastic depth acts in training only", async () => {
    const { image } = await create({ eva_model_name: "small", drop_path_rate: 0.9 });
    const program = await compile(device, { images: imageSpec, seed: spec("i32", [2]) }, (x) => ({
      calm: image.encode(x.images),
      dropped: image.encode(x.images, { seed: x.seed }),
    }));
    const { calm, dropped } = await program({ images, seed: Int32Array.of(5, 1) });
    expect(relativeError(dropped.toFloat32(), calm.toFloat32())).toBeGreaterThan(1e-3);
  });

  test("bytes are normalized as CLIP's images are", async () => {
    const { image } = await create(eva02);
    const bytes = Uint8Array.from({ length: BATCH * SIZE * SIZE * 3 }, (_, i) => (i * 31) % 256);
    const mean = [0.48145466, 0.4578275, 0.40821073];
    const std = [0.26862954, 0.26130258, 0.27577711];
    const pixels = new Float32Array(bytes.length);
    for (let i = 0; i < bytes.length; i++) {
      const [color, pixel] = [i % 3, Math.floor(i / 3)];
      const [b, place] = [Math.floor(pixel / (SIZE * SIZE)), pixel % (SIZE * SIZE)];
      pixels[(b * 3 + color) * SIZE * SIZE + place] = (bytes[i]! / 255 - mean[color]!) / std[color]!;
    }
    const specs = { bytes: spec("u8", [BATCH, SIZE, SIZE, 3]), pixels: imageSpec };
    const program = await compile(device, specs, (x) => ({
      fromBytes: image.encode(x.bytes),
      fromPixels: image.encode(x.pixels),
    }));
    const { fromBytes, fromPixels } = await program({ bytes, pixels });
    expect(relativeError(fromBytes.toFloat32(), fromPixels.toFloat32())).toBeLessThan(1e-5);
  });

  test("bf16 activations stay close to f32", async () => {
    const exact = await create(eva02);
    const half = new ClipModel(configOf(eva02), { init: "fan_in", precision: "bf16" });
    for (const parameter of half.parameters()) parameter.allocate(device);
    await initializeParameters(device, half.parameters(), 3);
    models.push(half);
    const program = await compile(device, { images: imageSpec }, (x) => ({
      exact: exact.image.encode(x.images),
      rounded: half.image.encode(x.images),
    }));
    const { exact: expected, rounded } = await program({ images });
    expect(relativeError(rounded.toFloat32(), expected.toFloat32())).toBeLessThan(0.03);
  });

  test.each(["f32", "bf16"] as const)("bf16 weights serve %s activations", async (type) => {
    const exact = await create(eva02);
    const half = new ClipModel(configOf(eva02), { init: "fan_in", precision: type });
    await initializeModel(half, device, { dtype: "bf16", seed: 3 });
    models.push(half);
    const program = await compile(device, { images: imageSpec }, (x) => ({
      exact: exact.image.encode(x.images),
      rounded: half.image.encode(x.images),
    }));
    const { exact: expected, rounded } = await program({ images });
    expect(relativeError(rounded.toFloat32(), expected.toFloat32())).toBeLessThan(0.03);
  });

  test("a frozen tower costs no backward ops", async () => {
    const { image, logitScale } = await create(eva02);
    const specs = { images: imageSpec, texts: spec("f32", [BATCH, EMBED]) };
    const kernels = async (trained: ReturnType<typeof image.parameters>) => {
      const program = await compile(device, specs, (x) => {
        const { loss } = clipLoss(image.encode(x.images), x.texts, logitScale);
        const gradients = grad(loss, [logitScale, ...trained]);
        return { loss, ...Object.fromEntries(gradients.map((gradient, i) => [`gradient${i}`, gradient])) };
      });
      const count = program.stats().kernels;
      program.dispose();
      return count;
    };
    const forwardOnly = await kernels([]);
    const head = image.parameters().filter(({ name }) => name.startsWith("visual.head."));
    expect(await kernels(head)).toBeLessThanOrEqual(forwardOnly + 2);
    expect(await kernels(image.parameters())).toBeGreaterThan(2 * forwardOnly);
  });
});

test.each([
  [196, 0.5, 98],
  [256, 0.5, 128],
  [576, 0.5, 288],
  [196, 0.75, 49],
  [576, 0.75, 144],
  [4, 0.9, 1],
])("%i patches with %d dropped keep %i", (tokens, rate, kept) => {
  expect(keptCount(tokens, rate)).toBe(kept);
});
