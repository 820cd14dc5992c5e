import {
  isDerived,
  type LayoutName,
  parameterOf,
  placeOf,
  rulesOfModel,
  storedShape,
} from "../../lib/weights/layouts/layout";
import { layouts } from "../../lib/weights/layouts/all_layouts";
import { type TinyName, tinyModel, tinyNames } from "../support/tiny_models";
import { storedShapesOf } from "./stored_shapes";

const layoutsOf = (model: TinyName): LayoutName[] =>
  model === "plain"
    ? ["openai", "hugging_face", "open_clip"]
    : ["eva_clip", "open_clip", "timm", "eva_mim", ...(model === "eva01" ? [] : (["hugging_face"] as const))];

const pairs = tinyNames.flatMap((model) => layoutsOf(model).map((layout) => [model, layout] as const));

test.each(pairs)(
  "%s in %s: every parameter has places of its own, and each leads back",
  (name, layoutName) => {
    const model = tinyModel(name);
    const layout = layouts().find((candidate) => candidate.name === layoutName)!;
    const rules = rulesOfModel(layout, model.config);
    const imageOnly = layoutName === "timm" || layoutName === "eva_mim";
    const seen = new Set<string>();
    for (const { name: parameter, shape, role } of model.parameters()) {
      if (imageOnly && role?.tower !== "image") continue;
      const place = placeOf(parameter, rules);
      expect({ parameter, place }).toEqual({ parameter, place: expect.anything() });
      for (const stored of place!.names) {
        expect(seen).not.toContain(stored);
        seen.add(stored);
        expect(parameterOf(stored, rules)).toEqual({ name: parameter, tower: role?.tower });
      }
      const sizes = place!.names.map(() => storedShape(shape, place!).reduce((a, b) => a * b, 1));
      expect(sizes.reduce((a, b) => a + b, 0)).toBe(shape.reduce((a, b) => a * b, 1));
    }
  },
);

/** The names of one block, below its number. */
const blockNames = (name: TinyName, layout: LayoutName, front: string) =>
  [...storedShapesOf(tinyModel(name), layout).keys()]
    .filter((stored) => stored.startsWith(front))
    .map((stored) => stored.slice(front.length))
    .sort();

const both = (...modules: string[]) => modules.flatMap((module) => [`${module}.weight`, `${module}.bias`]);

test("OpenCLIP's names of an EVA-02 block are timm's", () => {
  const { q, v } = { q: both("attn.q_proj"), v: both("attn.v_proj") };
  const modules = [
    "attn.norm",
    "attn.proj",
    "mlp.fc1_g",
    "mlp.fc1_x",
    "mlp.fc2",
    "mlp.norm",
    "norm1",
    "norm2",
  ];
  const expected = [...q, "attn.k_proj.weight", ...v, ...both(...modules)].sort();
  expect(blockNames("eva02", "open_clip", "visual.trunk.blocks.1.")).toEqual(expected);
  expect(blockNames("eva02", "timm", "blocks.1.")).toEqual(expected);
});

test("OpenCLIP's names of an EVA-01 block keep the packed projection and its two biases", () => {
  const names = blockNames("eva01", "open_clip", "visual.trunk.blocks.0.");
  const modules = ["attn.proj", "mlp.fc1", "mlp.fc2", "norm1", "norm2"];
  const own = ["attn.q_bias", "attn.v_bias", "attn.qkv.weight", "gamma_1", "gamma_2"];
  expect(names).toEqual([...own, ...both(...modules)].sort());
});

test("transformers' names of a block split the projections", () => {
  const modules = ["q_proj", "k_proj", "v_proj", "out_proj"].map((part) => `self_attn.${part}`);
  const expected = both(...modules, "layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2").sort();
  expect(blockNames("plain", "hugging_face", "vision_model.encoder.layers.1.")).toEqual(expected);
  expect(blockNames("plain", "hugging_face", "text_model.encoder.layers.0.")).toEqual(expected);
});

test("transformers' shapes: no leading dimensions, projections the other way round", () => {
  const plain = storedShapesOf(tinyModel("plain"), "hugging_face");
  expect(plain.get("visual_projection.weight")!.shape).toEqual([24, 32]);
  expect(plain.get("text_projection.weight")!.shape).toEqual([24, 16]);
  expect(plain.get("vision_model.encoder.layers.0.self_attn.k_proj.weight")!.shape).toEqual([32, 32]);
  const eva = storedShapesOf(tinyModel("eva-8B"), "hugging_face");
  expect(eva.get("vision_model.embeddings.class_embedding")!.shape).toEqual([32]);
  expect(eva.get("vision_model.embeddings.position_embedding.weight")!.shape).toEqual([5, 32]);
  expect(eva.get("visual_projection.weight")!.shape).toEqual([24, 32]);
  expect(eva.has("vision_model.encoder.layers.0.self_attn.q_proj.bias")).toBe(false);
});

test.each([
  ["visual.rope.freqs_cos", true],
  ["visual.blocks.3.attn.rope.freqs_sin", true],
  ["text_model.embeddings.position_ids", true],
  ["input_resolution", true],
  ["attn_mask", true],
  ["visual.pos_embed", false],
  ["text.positional_embedding", false],
])("%s is derived: %s", (name, expected) => {
  expect(isDerived(name)).toBe(expected);
});
