import { parseClipConfig } from "../../lib/models/clip_config";
import { ClipModel } from "../../lib/models/clip_model";
import { modelConfig } from "../../lib/models/known_models";
import type { ParameterRole } from "../../lib/parameter_role";
import { type TinyName, tinyModel } from "../support/tiny_models";

function normKeys(prefix: string, width: number): [string, number[]][] {
  return [
    [`${prefix}.weight`, [width]],
    [`${prefix}.bias`, [width]],
  ];
}

function linearKeys(prefix: string, outputs: number, inputs: number): [string, number[]][] {
  return [
    [`${prefix}.weight`, [outputs, inputs]],
    [`${prefix}.bias`, [outputs]],
  ];
}

function textKeys(prefix: string, width: number, layers: number, embed: number): [string, number[]][] {
  const block = (name: string): [string, number[]][] => [
    ...normKeys(`${name}.ln_1`, width),
    [`${name}.attn.in_proj_weight`, [3 * width, width]],
    [`${name}.attn.in_proj_bias`, [3 * width]],
    ...linearKeys(`${name}.attn.out_proj`, width, width),
    ...normKeys(`${name}.ln_2`, width),
    ...linearKeys(`${name}.mlp.c_fc`, 4 * width, width),
    ...linearKeys(`${name}.mlp.c_proj`, width, 4 * width),
  ];
  return [
    [`${prefix}positional_embedding`, [77, width]],
    [`${prefix}text_projection`, [width, embed]],
    [`${prefix}token_embedding.weight`, [49408, width]],
    ...Array.from({ length: layers }, (_, i) => block(`${prefix}transformer.resblocks.${i}`)).flat(),
    ...normKeys(`${prefix}ln_final`, width),
  ];
}

const shapesOf = (model: ClipModel) =>
  Object.fromEntries([...model.stateDict()].map(([key, { shape }]) => [key, shape]));

test("a model has a copy of its configuration, with defaults filled in", () => {
  const given = parseClipConfig(modelConfig("EVA02-CLIP-B-16"));
  const model = new ClipModel(given);
  given.vision_cfg.width = 5;
  expect(model.config.vision_cfg.width).toBe(768);
  const { layers, ...text } = modelConfig("ViT-B-16").text_cfg;
  const plain = new ClipModel({ ...modelConfig("ViT-B-16"), text_cfg: text } as never);
  expect(plain.config.text_cfg.layers).toBe(layers);
});

describe("state-dict keys", () => {
  test("EVA-02 B/16: separate projections, sub-norms, SwiGLU", () => {
    const [width, hidden] = [768, 2048];
    const block = (name: string): [string, number[]][] => [
      ...normKeys(`${name}.norm1`, width),
      ...normKeys(`${name}.norm2`, width),
      [`${name}.attn.q_bias`, [width]],
      [`${name}.attn.v_bias`, [width]],
      ...["q", "k", "v"].map((p): [string, number[]] => [`${name}.attn.${p}_proj.weight`, [width, width]]),
      ...normKeys(`${name}.attn.inner_attn_ln`, width),
      ...linearKeys(`${name}.attn.proj`, width, width),
      ...linearKeys(`${name}.mlp.w1`, hidden, width),
      ...linearKeys(`${name}.mlp.w2`, hidden, width),
      ...normKeys(`${name}.mlp.ffn_ln`, hidden),
      ...linearKeys(`${name}.mlp.w3`, width, hidden),
    ];
    const expected = Object.fromEntries([
      ["logit_scale", []],
      ["visual.cls_token", [1, 1, width]],
      ["visual.pos_embed", [1, 197, width]],
      ["visual.patch_embed.proj.weight", [width, 3, 16, 16]],
      ["visual.patch_embed.proj.bias", [width]],
      ...Array.from({ length: 12 }, (_, i) => block(`visual.blocks.${i}`)).flat(),
      ...normKeys("visual.norm", width),
      ...linearKeys("visual.head", 512, width),
      ...textKeys("text.", 512, 12, 512),
    ]);
    expect(shapesOf(new ClipModel(modelConfig("EVA02-CLIP-B-16")))).toEqual(expected);
  });

  test("EVA-01 g/14: packed projection without its own bias, GELU MLP, no layer scale", () => {
    const shapes = shapesOf(new ClipModel(modelConfig("EVA01-CLIP-g-14")));
    const block = Object.entries(shapes).filter(([key]) => key.startsWith("visual.blocks.39."));
    expect(Object.fromEntries(block)).toEqual({
      ...Object.fromEntries(normKeys("visual.blocks.39.norm1", 1408)),
      ...Object.fromEntries(normKeys("visual.blocks.39.norm2", 1408)),
      "visual.blocks.39.attn.q_bias": [1408],
      "visual.blocks.39.attn.v_bias": [1408],
      "visual.blocks.39.attn.qkv.weight": [4224, 1408],
      ...Object.fromEntries(linearKeys("visual.blocks.39.attn.proj", 1408, 1408)),
      ...Object.fromEntries(linearKeys("visual.blocks.39.mlp.fc1", 6144, 1408)),
      ...Object.fromEntries(linearKeys("visual.blocks.39.mlp.fc2", 1408, 6144)),
    });
  });

  test("EVA-CLIP 18B: norms without bias, no bias of queries, values and head", () => {
    const shapes = shapesOf(new ClipModel(modelConfig("EVA-CLIP-18B")));
    const ofImage = Object.entries(shapes).filter(([key]) => /^visual\.(?!blocks)|blocks\.47\./.test(key));
    expect(Object.fromEntries(ofImage)).toEqual({
      "visual.cls_token": [1, 1, 5120],
      "visual.pos_embed": [1, 257, 5120],
      "visual.patch_embed.proj.weight": [5120, 3, 14, 14],
      "visual.patch_embed.proj.bias": [5120],
      "visual.blocks.47.norm1.weight": [5120],
      "visual.blocks.47.norm2.weight": [5120],
      "visual.blocks.47.attn.qkv.weight": [15360, 5120],
      ...Object.fromEntries(linearKeys("visual.blocks.47.attn.proj", 5120, 5120)),
      ...Object.fromEntries(linearKeys("visual.blocks.47.mlp.fc1", 25600, 5120)),
      ...Object.fromEntries(linearKeys("visual.blocks.47.mlp.fc2", 5120, 25600)),
      "visual.norm.weight": [5120],
      "visual.head.weight": [1536, 5120],
    });
  });

  test("a plain CLIP keeps OpenAI's names, its text tower at the root", () => {
    const config = parseClipConfig({
      embed_dim: 512,
      quick_gelu: true,
      vision_cfg: { image_size: 224, layers: 1, width: 768, patch_size: 32 },
      text_cfg: { layers: 1 },
    });
    const block = "visual.transformer.resblocks.0";
    expect(shapesOf(new ClipModel(config))).toEqual(
      Object.fromEntries([
        ["logit_scale", []],
        ["visual.class_embedding", [768]],
        ["visual.positional_embedding", [50, 768]],
        ["visual.conv1.weight", [768, 3, 32, 32]],
        ...normKeys("visual.ln_pre", 768),
        ...normKeys(`${block}.ln_1`, 768),
        [`${block}.attn.in_proj_weight`, [2304, 768]],
        [`${block}.attn.in_proj_bias`, [2304]],
        ...linearKeys(`${block}.attn.out_proj`, 768, 768),
        ...normKeys(`${block}.ln_2`, 768),
        ...linearKeys(`${block}.mlp.c_fc`, 3072, 768),
        ...linearKeys(`${block}.mlp.c_proj`, 768, 3072),
        ...normKeys("visual.ln_post", 768),
        ["visual.proj", [768, 512]],
        ...textKeys("", 512, 1, 512),
      ]),
    );
  });
});

describe("initializers", () => {
  const config = parseClipConfig({
    embed_dim: 64,
    vision_cfg: {
      eva_model_name: "small",
      image_size: 32,
      layers: 2,
      width: 64,
      head_width: 32,
      patch_size: 8,
    },
    text_cfg: { layers: 2, width: 64, heads: 2, vocab_size: 100 },
  });
  const deviation = (init: "published" | "fan_in", key: string) => {
    const initial = new ClipModel(config, { init }).stateDict().get(key)?.initial;
    return initial?.kind === "normal" ? initial.std : undefined;
  };

  test("EVA's own: 0.02, branches scaled by depth, a head near zero", () => {
    expect(deviation("published", "visual.blocks.1.attn.qkv.weight")).toBeCloseTo(0.02, 12);
    expect(deviation("published", "visual.blocks.1.mlp.fc2.weight")).toBeCloseTo(0.02 / 2, 12);
    expect(deviation("published", "visual.head.weight")).toBeCloseTo(0.00002, 12);
    expect(deviation("published", "text.transformer.resblocks.0.mlp.c_fc.weight")).toBeCloseTo(
      128 ** -0.5,
      12,
    );
    expect(deviation("published", "visual.blocks.1.norm1.weight")).toBeUndefined();
  });

  test("by fan-in: one over the root of the inputs", () => {
    expect(deviation("fan_in", "visual.blocks.1.attn.qkv.weight")).toBeCloseTo(1 / 8, 12);
    expect(deviation("fan_in", "visual.blocks.1.mlp.fc2.weight")).toBeCloseTo(1 / 32, 12);
    expect(deviation("fan_in", "visual.patch_embed.proj.weight")).toBeCloseTo(192 ** -0.5, 12);
    expect(deviation("fan_in", "visual.head.weight")).toBeCloseTo(1 / 8, 12);
  });

  test("layer scales start at their configured value", () => {
    const state = new ClipModel(modelConfig("EVA01-CLIP-B-16")).stateDict();
    expect(state.get("visual.blocks.3.gamma_2")?.initial).toEqual({ kind: "constant", value: 0.1 });
    expect(state.get("logit_scale")?.initial).toEqual({ kind: "constant", value: Math.log(1 / 0.07) });
  });
});

describe("roles", () => {
  const named = (name: TinyName, fits: (role: ParameterRole) => boolean) =>
    tinyModel(name)
      .parameters()
      .filter(({ name: key, role }) => !/blocks\.1\./.test(key) && fits(role!))
      .map(({ name: key }) => key);

  test.each<[TinyName, string[]]>([
    [
      "eva01",
      [
        "visual.patch_embed.proj.weight",
        ...["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"].map((part) => `visual.blocks.0.${part}.weight`),
        "visual.head.weight",
      ],
    ],
    [
      "plain",
      [
        "visual.conv1.weight",
        ...["attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"].map(
          (part) => `visual.transformer.resblocks.0.${part}`,
        ),
      ],
    ],
  ])("the matrices of %s may be bf16", (name, expected) => {
    expect(named(name, ({ tower, bf16 }) => tower === "image" && bf16 === true)).toEqual(expected);
  });

  test("the norm before the first block is neither an embedding nor the final norm", () => {
    const norms = (layer: ParameterRole["layer"]) =>
      named("plain", (role) => role.tower === "image" && role.layer === layer);
    expect(norms("input_norm")).toEqual(["visual.ln_pre.weight", "visual.ln_pre.bias"]);
    expect(norms("final_norm")).toEqual(["visual.ln_post.weight", "visual.ln_post.bias"]);
    expect(norms("head")).toEqual(["visual.proj"]);
  });

  test("positions of OpenAI's towers are resized with aligned corners, EVA's with aligned edges", () => {
    const rule = (name: TinyName, key: string) => tinyModel(name).stateDict().get(key)?.role?.resize;
    expect(rule("plain", "visual.positional_embedding")).toEqual({
      kind: "grid",
      prefixTokens: 1,
      alignCorners: true,
    });
    expect(rule("eva02", "visual.pos_embed")).toEqual({ kind: "grid", prefixTokens: 1, alignCorners: false });
    expect(rule("plain", "positional_embedding")).toEqual({ kind: "context" });
    expect(rule("eva02", "text.text_projection")).toBeUndefined();
  });
});
