// A family of image towers that a user adds; everything it needs is in this file.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Device, parseClipConfig } from "eva-clip";
import {
  constant,
  ImageTower,
  type ImageTowerOptions,
  LayerNorm,
  Linear,
  Module,
  ops,
  type Parameter,
  registerImageTower,
  reshape,
  type Scope,
  type Tensor,
} from "eva-clip/graph";
import {
  AdamW,
  batchesByStep,
  ClipModel,
  initializeModel,
  parameterRules,
  train,
  unlockedParameters,
} from "eva-clip/train";
import { detectLayout, loadWeights, openWeights, resolveConfig, writeWeights } from "eva-clip/weights";
import { z } from "zod";
import { contentOf, tinyBatch } from "../support/tiny_clip";

const EPS = 1e-5;
const size = z.number().int().positive();
const probeSchema = z.strictObject({
  image_size: size,
  patch_size: size,
  width: size,
  layers: size,
  probe_heads: size,
});
type ProbeConfig = z.output<typeof probeSchema>;

/** x + Attention(LN x), then x + MLP(LN x). [B, N, width] → [B, N, width] */
class ProbeBlock extends Module {
  private readonly norm: LayerNorm;
  private readonly qkv: Linear;
  private readonly output: Linear;
  private readonly norm2: LayerNorm;
  private readonly hidden: Linear;
  private readonly shrink: Linear;

  constructor(
    scope: Scope,
    width: number,
    private readonly heads: number,
  ) {
    super();
    const init = { kind: "normal", std: width ** -0.5 } as const;
    this.norm = new LayerNorm(scope.at("norm"), width, EPS);
    this.qkv = new Linear(scope.at("qkv"), { inputs: width, outputs: 3 * width, init });
    this.output = new Linear(scope.at("output"), { inputs: width, outputs: width, init });
    this.norm2 = new LayerNorm(scope.at("norm2"), width, EPS);
    this.hidden = new Linear(scope.at("hidden"), { inputs: width, outputs: 2 * width, init });
    this.shrink = new Linear(scope.at("shrink"), { inputs: 2 * width, outputs: width, init });
  }

  forward(x: Tensor): Tensor {
    const { heads } = this;
    const mixed = ops.attention(this.qkv.forward(this.norm.forward(x)), { heads });
    const y = this.output.forward(mixed, { residual: x });
    const hidden = this.hidden.forward(this.norm2.forward(y), { activation: "gelu" });
    return this.shrink.forward(hidden, { residual: y });
  }
}

/** A vision transformer without a class token: a learned probe attends to the patches and is the embedding. */
class ProbeTower extends ImageTower {
  readonly imageSize: number;
  readonly precision = "f32";
  readonly patchDropout = 0;
  private readonly patches: Linear;
  private readonly positions: Parameter; // [G², width]
  private readonly blocks: readonly ProbeBlock[];
  private readonly probe: Parameter; // [1, width]
  private readonly pool: ProbeBlock;
  private readonly projection: Linear;

  constructor(
    private readonly config: ProbeConfig,
    { scope, embedDim }: ImageTowerOptions,
  ) {
    super();
    const { image_size, patch_size, width, layers, probe_heads: heads } = config;
    this.imageSize = image_size;
    const init = { kind: "normal", std: 0.1 } as const;
    const [embedding, head] = [scope.at("", { layer: "embedding" }), scope.at("", { layer: "head" })];
    this.patches = new Linear(embedding.at("patches"), { inputs: 3 * patch_size ** 2, outputs: width, init });
    this.positions = embedding.parameter("positions", [(image_size / patch_size) ** 2, width], {
      initial: init,
      resize: { kind: "grid", prefixTokens: 0 },
    });
    this.blocks = Array.from(
      { length: layers },
      (_, i) => new ProbeBlock(scope.at(`layer.${i}`, { layer: i }), width, heads),
    );
    this.probe = head.parameter("probe", [1, width], { initial: init });
    this.pool = new ProbeBlock(head.at("pool"), width, heads);
    this.projection = new Linear(head.at("projection"), { inputs: width, outputs: embedDim, init });
  }

  features(images: Tensor): Tensor {
    const batch = images.shape[0]!;
    const { width, patch_size: patchSize } = this.config;
    const patches = this.patches.forward(ops.patchRows(images, { patchSize }));
    let x = ops.add(patches, this.positions);
    for (const block of this.blocks) x = block.forward(x);
    const count = x.shape[1]!;
    const rows = Array.from({ length: batch }, (_, b) => [
      0,
      ...Array.from({ length: count }, (_, i) => 1 + b * count + i),
    ]).flat();
    const all = ops.concat([this.probe, reshape(x, [batch * count, width])]);
    const probed = ops.gatherRows(all, constant(Int32Array.from(rows), [rows.length]));
    const pooled = this.pool.forward(reshape(probed, [batch, 1 + count, width]));
    const first = Int32Array.from({ length: batch }, (_, b) => b * (1 + count));
    return this.projection.forward(ops.gatherRows(pooled, constant(first, [batch])));
  }
}

registerImageTower<ProbeConfig, undefined, undefined>({
  name: "probe",
  title: "a probe image tower",
  matches: ({ probe_heads }) => probe_heads !== undefined,
  schema: probeSchema,
  build: (config, options) => new ProbeTower(config, options),
  customText: true,
  ownLayout: "probe",
  layouts: {
    probe: {
      landmarks: ["vit.probe", "vit.positions"],
      rules: () => [
        { ours: "visual.layer.*", stored: "vit.encoder.*" },
        { ours: "visual", stored: "vit" },
      ],
      writable: true,
    },
  },
});

const config = {
  embed_dim: 16,
  vision_cfg: { image_size: 16, patch_size: 4, width: 32, layers: 2, probe_heads: 2 },
  text_cfg: { context_length: 8, vocab_size: 32, width: 16, heads: 2, layers: 1 },
};
const settings = {
  image: { learningRate: 1, weightDecay: 0.1, layerDecay: 0.5 },
  text: { learningRate: 2, weightDecay: 0.1 },
  other: { learningRate: 3, weightDecay: 0.1 },
};
const described = (vision: object = {}) =>
  new ClipModel(parseClipConfig({ ...config, vision_cfg: { ...config.vision_cfg, ...vision } }));

let device: Device;
let folder: string;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
  folder = await mkdtemp(join(tmpdir(), "eva-clip-tower-"));
});
afterAll(async () => {
  await device.dispose();
  await rm(folder, { recursive: true });
});

test("its fields are its own", () => {
  expect(() => described({ rope: true })).toThrow(/vision_cfg.*rope/);
  expect(() => described({ layers: "2" })).toThrow(/vision_cfg\.layers/);
});

test("a name can be registered once", () => {
  const again = { ...({} as Parameters<typeof registerImageTower>[0]), name: "probe" };
  expect(() => registerImageTower(again)).toThrow(/already is an image tower named probe/);
});

test("learning rates decay by layer, and weights by role", () => {
  const rules = new Map(
    parameterRules(described().parameters(), settings).map((rule) => [rule.parameter.name, rule]),
  );
  const expected: [string, number, number][] = [
    ["visual.patches.weight", 0.125, 0.1],
    ["visual.positions", 0.125, 0],
    ["visual.layer.0.qkv.weight", 0.25, 0.1],
    ["visual.layer.1.norm.weight", 0.5, 0],
    ["visual.probe", 1, 0],
    ["visual.projection.weight", 1, 0.1],
    ["text.text_projection", 2, 0.1],
    ["logit_scale", 3, 0],
  ];
  for (const [name, learningRate, weightDecay] of expected) {
    expect({ name, ...rules.get(name) }).toMatchObject({ name, learningRate, weightDecay });
  }
});

test("it trains with frozen layers, and is written and read in its own layout", async () => {
  using model = described();
  await initializeModel(model, device, { seed: 1 });
  const all = model.parameters();
  const rate = { learningRate: 3e-3, weightDecay: 0.05, layerDecay: 0.9 };
  const trained = unlockedParameters(all, { image: { unlockedGroups: 2 } });
  const optimizer = new AdamW(parameterRules(all, { image: rate, text: rate, other: rate }, trained));
  const before = await contentOf(all);
  const losses: number[] = [];
  const run = train({
    device,
    model,
    optimizer,
    data: batchesByStep((step) => tinyBatch(step % 4)),
    steps: 40,
    schedule: { kind: "const" },
  });
  for await (const event of run) if (event.type === "step") losses.push(event.loss);
  optimizer.dispose();
  expect(losses.at(-1)!).toBeLessThan(0.7 * losses[0]!);

  const after = await contentOf(all);
  const changed = Object.keys(after).filter((name) => String(after[name]) !== String(before[name]));
  expect(changed.filter((name) => name.startsWith("visual.patches"))).toEqual([]);
  expect(changed.filter((name) => name.startsWith("visual.layer.0."))).toEqual([]);
  expect(changed).toEqual(
    expect.arrayContaining(["visual.layer.1.qkv.weight", "visual.probe", "logit_scale"]),
  );

  await writeWeights(folder, model);
  await using source = await openWeights(folder);
  expect([...source.tensors.keys()]).toEqual(
    expect.arrayContaining(["vit.encoder.1.qkv.weight", "vit.probe", "text.text_projection", "logit_scale"]),
  );
  const stored = detectLayout(source.tensors.keys());
  expect(stored.layout.name).toBe("probe");
  expect(await resolveConfig(source, stored)).toEqual(model.config);

  using other = described();
  await initializeModel(other, device, { seed: 2 });
  await loadWeights(other, source);
  expect(await contentOf(other.parameters())).toEqual(after);

  using larger = described({ image_size: 24 });
  await initializeModel(larger, device, { seed: 2 });
  const { parameters } = await loadWeights(larger, source);
  expect(parameters.find(({ name }) => name === "visual.positions")).toMatchObject({
    origin: "resized",
    note: "grid 4 × 4 → 6 × 6, bicubic",
  });
});
