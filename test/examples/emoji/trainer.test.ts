import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { modelConfig, recipeFor } from "../../../examples/emoji/recipe";
import { Sampler, trainingTexts } from "../../../examples/emoji/sampler";
import { splitDataSet } from "../../../examples/emoji/split";
import { testCosines } from "../../../examples/emoji/tester";
import { startTraining } from "../../../examples/emoji/trainer";
import { Vocabulary } from "../../../examples/emoji/vocabulary";
import { clipTokenizer } from "../../../lib/text/tokenizer";
import { Device } from "../../../lib/device";
import { parseClipConfig } from "../../../lib/models/clip_config";
import { ClipModel } from "../../../lib/models/clip_model";
import { syntheticDataSet } from "./synthetic_data_set";

const data = syntheticDataSet(132, ["noto", "twemoji"]);
const split = splitDataSet(data, "twemoji", "test");
/** Few, to be encoded quickly. */
const test = { ...split, test: split.test.slice(0, 40) };
const vocabulary = Vocabulary.of(trainingTexts(data, split.train), clipTokenizer(), 16);

/** The losses of a short run, and its test cosines. */
async function run(steps: number, seed: number, optimizer: "adamw" | "lamb") {
  const folder = await mkdtemp(join(tmpdir(), "eva-clip-emoji-"));
  const recipe = { ...recipeFor({ seed, steps, optimizer, precision: "f32" as const }), batch: 16 };
  const model = new ClipModel(parseClipConfig(modelConfig(vocabulary.vocabularySize)), { init: "fan_in" });
  const device = await Device.open("cpu", { threads: 1 });
  try {
    const sampler = new Sampler(data, split.train, recipe);
    const training = await startTraining(device, model, sampler, vocabulary, recipe, folder);
    const losses: number[] = [];
    for await (const event of training) if (event.type === "step") losses.push(event.loss);
    return { losses, cosines: await testCosines(device, model, data, test, vocabulary) };
  } finally {
    await device.dispose();
    await rm(folder, { recursive: true });
  }
}

it.each(["adamw", "lamb"] as const)("%s learns a small data set", async (optimizer) => {
  const { losses } = await run(24, 0, optimizer);
  expect(losses).toHaveLength(24);
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  expect(mean(losses.slice(-5))).toBeLessThan(0.9 * mean(losses.slice(0, 5)));
});

it("gives the same bits for the same seed, and different ones for another", async () => {
  const [first, again, other] = [
    await run(3, 1, "adamw"),
    await run(3, 1, "adamw"),
    await run(3, 2, "adamw"),
  ];
  expect(again).toEqual(first);
  expect(other.losses).not.toEqual(first.losses);
});

it("scores every test image against every name", async () => {
  const { cosines } = await run(2, 0, "adamw");
  expect(cosines).toHaveLength(40 * 40);
  expect(Math.max(...cosines)).toBeLessThanOrEqual(1.00001);
  expect(Math.min(...cosines)).toBeGreaterThanOrEqual(-1.00001);
});
