import type { ConfigFields } from "../../lib/weights/config/config_fields";
import { inferConfig } from "../../lib/weights/config/infer_config";
import type { LayoutName } from "../../lib/weights/layouts/layout";
import { detectLayout } from "../../lib/weights/layouts/detect_layout";
import type { StoredShapes } from "../../lib/weights/config/shape_facts";
import { parseClipConfig } from "../../lib/models/clip_config";
import { ClipModel } from "../../lib/models/clip_model";
import { modelConfig } from "../../lib/models/known_models";
import { type TinyName, tinyConfigs, tinyModel } from "../support/tiny_models";
import { storedShapesOf } from "./stored_shapes";

const infer = (tensors: StoredShapes, stated?: ConfigFields) =>
  inferConfig(tensors, detectLayout(tensors.keys()), stated, "file.pt");

const code = (wanted: string) => expect.objectContaining({ code: wanted });
const invalid = code("ERR_EVACLIP_INVALID_CONFIG");

/** Every parameter's name and shape. */
const shapesOf = (model: ClipModel) => model.parameters().map(({ name, shape }) => [name, ...shape]);

test.each<[string, LayoutName]>([
  ["EVA01-CLIP-B-16", "eva_clip"],
  ["EVA01-CLIP-g-14", "open_clip"],
  ["EVA01-CLIP-g-14-plus", "eva_clip"],
  ["EVA02-CLIP-B-16", "eva_clip"],
  ["EVA02-CLIP-B-16", "open_clip"],
  ["EVA02-CLIP-L-14", "open_clip"],
  ["EVA02-CLIP-L-14-336", "eva_clip"],
  ["EVA02-CLIP-bigE-14", "eva_clip"],
  ["EVA02-CLIP-bigE-14-plus", "open_clip"],
  ["EVA-CLIP-8B", "hugging_face"],
  ["EVA-CLIP-8B-plus", "eva_clip"],
  ["EVA-CLIP-18B", "eva_clip"],
])("%s in %s is known by its shapes", (name, layout) => {
  const config = modelConfig(name);
  const found = infer(storedShapesOf(new ClipModel(config), layout));
  expect(found).toEqual({ config, models: [name] });
});

test.each(["ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336"])("%s needs its activation stated", (name) => {
  const tensors = storedShapesOf(new ClipModel(modelConfig(name)), "openai");
  expect(() => infer(tensors)).toThrow(/cannot tell the activation of file\.pt: state quick_gelu/);
  expect(() => infer(tensors)).toThrow(invalid);
  expect(infer(tensors, { quick_gelu: false })).toEqual({ config: modelConfig(name), models: [name] });
  const quick = modelConfig(`${name}-quickgelu`);
  expect(infer(tensors, { quick_gelu: true })).toEqual({ config: quick, models: [`${name}-quickgelu`] });
});

test("OpenAI's archives imply their activation, and no other may be stated", () => {
  const shapes = storedShapesOf(new ClipModel(modelConfig("ViT-B-32")), "openai");
  const facts = ["input_resolution", "context_length", "vocab_size"].map(
    (name) => [name, { shape: [] }] as const,
  );
  const tensors: StoredShapes = new Map([...shapes, ...facts]);
  expect(infer(tensors).models).toEqual(["ViT-B-32-quickgelu"]);
  expect(() => infer(tensors, { quick_gelu: false })).toThrow(
    /needs QuickGELU, because OpenAI trained with it/,
  );
});

test("EVA-CLIP implies GELU, and nothing else may be stated", () => {
  const tensors = storedShapesOf(new ClipModel(modelConfig("EVA02-CLIP-B-16")), "eva_clip");
  expect(infer(tensors, { quick_gelu: false }).config.quick_gelu).toBe(false);
  expect(() => infer(tensors, { quick_gelu: true })).toThrow(/needs GELU, because EVA-CLIP trained with it/);
});

describe("models that are not published", () => {
  const heads = { vision_cfg: { head_width: 16 }, text_cfg: { heads: 2 } };
  const cases: [TinyName, LayoutName, ConfigFields][] = [
    ["eva01", "eva_clip", { ...heads, vision_cfg: { head_width: 16, postnorm: false } }],
    ["eva02-E", "open_clip", { ...heads, vision_cfg: { head_width: 16, postnorm: true } }],
    ["eva-8B", "hugging_face", { ...heads, vision_cfg: { head_width: 16, postnorm: false } }],
    ["eva02", "open_clip", { ...heads, vision_cfg: { head_width: 16, pt_hw_seq_len: 16, intp_freq: true } }],
    ["plain", "hugging_face", { ...heads, quick_gelu: true }],
  ];

  test.each(cases)("%s in %s is put together from its shapes and what is stated", (name, layout, stated) => {
    const { config, models } = infer(storedShapesOf(tinyModel(name), layout), stated);
    const expected = parseClipConfig(tinyConfigs[name]);
    expect(models).toEqual([]);
    expect(shapesOf(new ClipModel(config))).toEqual(shapesOf(tinyModel(name)));
    const { eva_model_name: _, mlp_ratio: __, ...rest } = config.vision_cfg;
    expect(expected.vision_cfg).toMatchObject(rest);
    expect(config.quick_gelu).toBe(expected.quick_gelu);
  });

  test("every field that has to be stated is named at once", () => {
    const tensors = storedShapesOf(tinyModel("eva01"), "eva_clip");
    expect(() => infer(tensors)).toThrow(
      /state vision_cfg\.head_width, vision_cfg\.postnorm, text_cfg\.heads$/,
    );
    expect(() => infer(tensors)).toThrow(invalid);
    const rotary = storedShapesOf(tinyModel("eva02"), "eva_clip");
    expect(() => infer(rotary, heads)).toThrow(/state vision_cfg\.pt_hw_seq_len, vision_cfg\.intp_freq$/);
  });

  test("a published tower at another size, with fewer blocks, keeps what its width implies", () => {
    const { vision_cfg, ...rest } = modelConfig("EVA02-CLIP-bigE-14");
    const config = { ...rest, vision_cfg: { ...vision_cfg, layers: 3, image_size: 448 } };
    const found = infer(storedShapesOf(new ClipModel(config), "open_clip"));
    expect(found.config.vision_cfg).toMatchObject({
      layers: 3,
      image_size: 448,
      head_width: 112,
      postnorm: true,
    });
    expect(shapesOf(new ClipModel(found.config))).toEqual(shapesOf(new ClipModel(config)));
  });

  test("stated fields override those of the file", () => {
    const tensors = storedShapesOf(new ClipModel(modelConfig("EVA02-CLIP-L-14")), "eva_clip");
    const { config, models } = infer(tensors, { vision_cfg: { image_size: 336 } });
    expect(config.vision_cfg.image_size).toBe(336);
    expect(models).toEqual([]);
  });

  test("hidden widths whose quotient rounds down are reproduced", () => {
    for (const hidden of [1, 2730, 6144, 15360, 93, 97]) {
      const vision = { ...tinyConfigs["eva02-E"].vision_cfg, width: 176, head_width: 16 };
      const config = parseClipConfig({
        ...tinyConfigs["eva02-E"],
        vision_cfg: { ...vision, mlp_ratio: (hidden + 0.5) / 176 },
      });
      const stated = { vision_cfg: { head_width: 16, postnorm: true }, text_cfg: { heads: 2 } };
      const found = infer(storedShapesOf(new ClipModel(config), "eva_clip"), stated);
      expect(Math.trunc(176 * (found.config.vision_cfg.mlp_ratio as number))).toBe(hidden);
    }
  });
});

test("a tower alone does not imply a model", () => {
  const tensors = storedShapesOf(tinyModel("eva02"), "eva_mim");
  expect(() => infer(tensors)).toThrow(
    /cannot infer the configuration of file\.pt: it has no text\.positional_embedding/,
  );
});

test("positions that are not a grid are refused", () => {
  const tensors = new Map(storedShapesOf(tinyModel("eva02"), "eva_clip"));
  tensors.set("visual.pos_embed", { shape: [1, 15, 32] });
  expect(() => infer(tensors)).toThrow(
    /15 position embeddings, which are not a class token and a square grid/,
  );
});
