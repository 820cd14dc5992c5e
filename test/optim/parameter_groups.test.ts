import { join } from "node:path";
import { openSafetensors } from "../../lib/io/safetensors";
import { parseClipConfig } from "../../lib/models/clip_config";
import { ClipModel } from "../../lib/models/clip_model";
import { modelConfig } from "../../lib/models/known_models";
import { parameterRules } from "../../lib/optim/parameter_groups";
import { unlockedParameters } from "../../lib/optim/tower_locks";
import { Parameter } from "../../lib/parameter";

interface PublishedGroup {
  tower: "visual" | "text" | "other";
  weight_decay: number;
  lr_scale: number;
  params: string[];
}

const settings = {
  image: { learningRate: 1, weightDecay: 0.05, layerDecay: 0.75 },
  text: { learningRate: 10, weightDecay: 0.05, layerDecay: 0.75 },
  other: { learningRate: 100, weightDecay: 0.05 },
};
const learningRates = { visual: 1, text: 10, other: 100 };

test.each(["eva02_b", "eva01_b_layerscale", "eva02_e"])("%s has the published groups", async (name) => {
  await using file = await openSafetensors(join(__dirname, "..", "fixtures", `${name}.safetensors`));
  const model = new ClipModel(parseClipConfig(JSON.parse(file.metadata.config!)));
  const rules = new Map(
    parameterRules(model.parameters(), settings).map((rule) => [rule.parameter.name, rule]),
  );
  const groups = JSON.parse(file.metadata.groups!) as PublishedGroup[];
  expect(groups.flatMap(({ params }) => params).sort()).toEqual([...rules.keys()].sort());
  for (const { tower, weight_decay, lr_scale, params } of groups) {
    for (const key of params) {
      expect(rules.get(key)!.weightDecay).toBe(weight_decay);
      expect(rules.get(key)!.learningRate).toBeCloseTo(learningRates[tower] * lr_scale, 12);
    }
  }
});

test("EVA02-CLIP-B-16: the first layer learns 0.75^13 as fast as the head", () => {
  const all = new ClipModel(modelConfig("EVA02-CLIP-B-16")).parameters();
  const rate = (key: string) =>
    parameterRules(all, settings).find(({ parameter }) => parameter.name === key)!.learningRate;
  expect(rate("visual.patch_embed.proj.weight")).toBeCloseTo(0.023757, 6);
  expect(rate("visual.blocks.11.mlp.w1.weight")).toBeCloseTo(0.75, 12);
  expect(rate("visual.head.weight")).toBe(1);
  expect(new Set(parameterRules(all, settings).map((r) => `${r.learningRate} ${r.weightDecay}`)).size).toBe(
    57,
  );
});

test("depth is counted over the whole model, even if only its end is trained", () => {
  const all = new ClipModel(modelConfig("EVA02-CLIP-B-16")).parameters();
  const trained = all.filter(({ name }) => name.startsWith("visual.blocks.0."));
  for (const { learningRate } of parameterRules(all, settings, trained))
    expect(learningRate).toBeCloseTo(0.75 ** 12, 12);
});

test("a parameter without a role, or outside of the towers, has the settings of other", () => {
  const [plain, decaying] = [
    new Parameter("visual.blocks.0.weight", [2, 2]),
    new Parameter("projection", [2, 2], { role: { decays: true } }),
  ];
  expect(parameterRules([plain, decaying], settings)).toMatchObject([
    { tower: "other", layerScale: 1, learningRate: 100, weightDecay: 0 },
    { tower: "other", layerScale: 1, learningRate: 100, weightDecay: 0.05 },
  ]);
  expect(unlockedParameters([plain, decaying], { image: {}, text: {} })).toEqual([plain, decaying]);
});
