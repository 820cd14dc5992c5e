import { ClipModel } from "../../lib/models/clip_model";
import { knownModels, modelConfig } from "../../lib/models/known_models";
import type { ModelName } from "../../lib/models/published_models";

/**
 * Image and text parameters, and keys without rotary tables, of the instantiated PyTorch models; of 8B, 8B-plus and
 * 18B by adding up the published shapes, which agrees with their files (32.9 GB of f32, 36.7 GB of f16).
 */
const counts: Record<ModelName, readonly [image: number, text: number, keys: number]> = {
  "EVA01-CLIP-B-16": [86_201_600, 63_428_096, 338],
  "EVA01-CLIP-g-14": [1_012_588_928, 123_846_912, 678],
  "EVA01-CLIP-g-14-plus": [1_012_588_928, 354_032_640, 822],
  "EVA02-CLIP-B-16": [86_263_040, 63_428_096, 410],
  "EVA02-CLIP-L-14": [304_105_152, 123_650_304, 662],
  "EVA02-CLIP-L-14-336": [304_432_832, 123_650_304, 662],
  "EVA02-CLIP-bigE-14": [4_350_556_928, 354_032_640, 1134],
  "EVA02-CLIP-bigE-14-plus": [4_350_556_928, 694_332_160, 1230],
  "EVA-CLIP-8B": [7_526_088_704, 694_659_840, 684],
  "EVA-CLIP-8B-plus": [7_529_234_432, 694_659_840, 684],
  "EVA-CLIP-18B": [17_630_494_720, 694_987_520, 828],
  "ViT-B-32": [87_849_216, 63_428_096, 302],
  "ViT-B-32-quickgelu": [87_849_216, 63_428_096, 302],
  "ViT-B-16": [86_192_640, 63_428_096, 302],
  "ViT-B-16-quickgelu": [86_192_640, 63_428_096, 302],
  "ViT-L-14": [303_966_208, 123_650_304, 446],
  "ViT-L-14-quickgelu": [303_966_208, 123_650_304, 446],
  "ViT-L-14-336": [304_293_888, 123_650_304, 446],
  "ViT-L-14-336-quickgelu": [304_293_888, 123_650_304, 446],
  "ViT-H-14": [632_076_800, 354_032_640, 686],
  "ViT-g-14": [1_012_645_632, 354_032_640, 782],
  "ViT-bigG-14": [1_844_907_264, 694_659_840, 974],
};

/** GFLOPs of one image and one caption, from open_clip's docs/model_profile.csv. */
const profiled: Partial<Record<ModelName, readonly [image: number, text: number]>> = {
  "EVA01-CLIP-g-14": [534.06, 13.3],
  "EVA01-CLIP-g-14-plus": [534.06, 47.09],
  "EVA02-CLIP-B-16": [35.13, 5.96],
  "EVA02-CLIP-L-14": [162.0, 13.3],
  "EVA02-CLIP-L-14-336": [381.86, 13.3],
  "EVA02-CLIP-bigE-14": [2264.33, 47.09],
  "EVA02-CLIP-bigE-14-plus": [2264.33, 97.86],
  "ViT-B-32": [8.82, 5.96],
  "ViT-B-16": [35.13, 5.96],
  "ViT-L-14": [162.03, 13.3],
  "ViT-L-14-336": [381.92, 13.3],
  "ViT-H-14": [334.59, 47.09],
  "ViT-g-14": [534.06, 47.09],
  "ViT-bigG-14": [967.5, 97.86],
};

const models = knownModels();

test("the table holds every published model once", () => {
  expect(models.map(({ name }) => name)).toEqual(Object.keys(counts));
});

test.each(models)("$name has the published parameters", ({ name, config, parameters, imageSize }) => {
  const [image, text, keys] = counts[name];
  expect(parameters).toEqual({ image, text, total: image + text + 1 });
  const model = new ClipModel(config);
  expect(model.stateDict().size).toBe(keys);
  expect(model.parameters()).toHaveLength(keys);
  expect(model.image.imageSize).toBe(imageSize);
});

test.each(models.filter(({ name }) => profiled[name]))(
  "$name has the published GFLOPs",
  ({ name, gflops }) => {
    const [image, text] = profiled[name]!;
    expect(gflops.image).toBeCloseTo(image, 2);
    expect(gflops.text).toBeCloseTo(text, 2);
    expect(gflops.total).toBeCloseTo(gflops.image + gflops.text, 9);
  },
);

describe("modelConfig", () => {
  test.each([
    ["EVA02-B-16", "EVA02-CLIP-B-16"],
    ["EVA02-E-14-plus", "EVA02-CLIP-bigE-14-plus"],
    ["timm/eva02_large_patch14_clip_336.merged2b_s6b_b61k", "EVA02-CLIP-L-14-336"],
    ["openai/clip-vit-large-patch14", "ViT-L-14-quickgelu"],
    ["ViT-L/14@336px", "ViT-L-14-336-quickgelu"],
    ["BAAI/EVA-CLIP-8B", "EVA-CLIP-8B"],
    ["eva02-clip-l-14", "EVA02-CLIP-L-14"],
    ["vit-h-14", "ViT-H-14"],
    ["ViT-g-14", "ViT-g-14"],
    ["ViT-G-14", "ViT-bigG-14"],
  ])("knows %s as %s", (alias, name) => {
    expect(modelConfig(alias)).toEqual(models.find((model) => model.name === name)!.config);
  });

  test("a name in two models' aliases belongs to neither", () => {
    const names = models.flatMap(({ name, aliases }) => [name, ...aliases]);
    expect(new Set(names).size).toBe(names.length);
  });

  test.each([
    ["EVA02-CLIP-B-61", "EVA02-CLIP-B-16"],
    ["openai/clip-vit-large-patch41", "ViT-L-14-quickgelu"],
  ])("of %s names %s as near", (name, near) => {
    expect(() => modelConfig(name)).toThrow(
      expect.objectContaining({
        code: "ERR_EVACLIP_UNKNOWN_MODEL",
        message: expect.stringContaining(near),
        details: expect.objectContaining({ name, near: expect.arrayContaining([near]) }),
      }),
    );
  });

  test("lists all of several names that differ only in case", () => {
    expect(() => modelConfig("vit-g-14")).toThrow(
      expect.objectContaining({ details: { name: "vit-g-14", near: ["ViT-g-14", "ViT-bigG-14"] } }),
    );
  });
});
