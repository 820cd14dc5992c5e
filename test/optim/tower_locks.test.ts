import { parseClipConfig } from "../../lib/models/clip_config";
import { ClipModel } from "../../lib/models/clip_model";
import { modelConfig } from "../../lib/models/known_models";
import { type TowerLocks, unlockedParameters } from "../../lib/optim/tower_locks";
import { tinyConfig } from "../support/tiny_clip";

const eva = new ClipModel(parseClipConfig(tinyConfig)).parameters();
const openai = new ClipModel(modelConfig("ViT-B-32")).parameters();

/** The names of trained parameters, those of a block shortened to `…blocks.N`. */
function trained(all: typeof eva, locks: TowerLocks): string[] {
  const names = unlockedParameters(all, locks).map(({ name }) => name.replace(/(blocks\.\d+)\..*/, "$1"));
  return [...new Set(names)].sort();
}

const tower = (all: typeof eva, image: boolean) =>
  all.filter(({ name }) => name.startsWith("visual.") === image && name !== "logit_scale");

test("without locks everything is trained", () => {
  expect(unlockedParameters(eva, {})).toEqual(eva);
});

test("a frozen tower is not trained; the other one and the logit scale are", () => {
  expect(unlockedParameters(eva, { image: {} })).toEqual(
    eva.filter(({ name }) => !name.startsWith("visual.")),
  );
  expect(unlockedParameters(eva, { text: {} })).toEqual(eva.filter(({ name }) => !name.startsWith("text.")));
  expect(trained(openai, { image: {}, text: {} })).toEqual(["logit_scale"]);
});

test.each([
  [1, ["visual.head.bias", "visual.head.weight"]],
  [2, ["visual.blocks.1", "visual.norm.bias", "visual.norm.weight"]],
  [3, ["visual.blocks.0"]],
  [
    4,
    ["cls_token", "patch_embed.proj.bias", "patch_embed.proj.weight", "pos_embed"].map(
      (key) => `visual.${key}`,
    ),
  ],
])("EVA's image tower unlocks group %i from the head backwards", (group, names) => {
  const unlocked = (unlockedGroups: number) => trained(eva, { image: { unlockedGroups }, text: {} });
  const before = unlocked(group - 1);
  expect(unlocked(group).filter((name) => !before.includes(name))).toEqual(names);
});

test("OpenAI's towers unlock the projection, then the last block with the norm after it", () => {
  expect(trained(openai, { image: { unlockedGroups: 2 }, text: { unlockedGroups: 2 } })).toEqual(
    [
      "ln_final.bias",
      "ln_final.weight",
      "logit_scale",
      "text_projection",
      "transformer.resblocks.11",
      "visual.ln_post.bias",
      "visual.ln_post.weight",
      "visual.proj",
      "visual.transformer.resblocks.11",
    ].sort(),
  );
});

test("as many groups as there are, or more, unlock the tower", () => {
  const whole = tower(openai, true).length;
  const count = (unlockedGroups: number) =>
    tower(unlockedParameters(openai, { image: { unlockedGroups } }), true).length;
  expect(count(13)).toBe(whole - 5); // conv1, class and position embedding, ln_pre
  expect(count(14)).toBe(whole);
  expect(count(99)).toBe(whole);
});

test("refuses a negative number of groups", () => {
  expect(() => unlockedParameters(eva, { text: { unlockedGroups: -1 } })).toThrow(
    expect.objectContaining({ code: "ERR_EVACLIP_INVALID_ARGUMENT", message: expect.stringContaining("-1") }),
  );
});
