import { modelConfig, recipeFor } from "../../../examples/emoji/recipe";
import type { Scored } from "../../../examples/emoji/report/pictures";
import type { History } from "../../../examples/emoji/report/sections";
import { assembleResult, type DemoResult } from "../../../examples/emoji/result";
import { splitDataSet } from "../../../examples/emoji/split";
import { syntheticDataSet } from "./synthetic_data_set";

/** A run of 40 steps whose model classifies every second test image correctly and confuses the others with the previous. */
export function syntheticRun(): { result: DemoResult; scored: Scored; history: History } {
  const data = syntheticDataSet(150, ["noto", "twemoji"]);
  data.concepts[0]!.label = `<b>"3" & more</b>`;
  const split = splitDataSet(data, "twemoji", "test");
  const n = split.test.length;
  const cosines = new Float32Array(n * n);
  for (let i = 0; i < n; i++) cosines[i * n + (i - (i % 2))] = 0.9;
  const recipe = recipeFor({ seed: 5, steps: 40, optimizer: "adamw", precision: "f32" });
  const result = assembleResult({
    data,
    split,
    recipe,
    config: modelConfig(500),
    vocabularySize: 500,
    parameters: { image: 1000, text: 2000 },
    device: {
      kind: "cpu",
      name: "a processor",
      instructionSet: "v3",
      library: "a library",
      threads: 2,
    },
    cosines,
    pixelBaseline: { top1: 0.25, top5: 0.5, seenTop1: 0.75, seenTop5: 1 },
    seconds: 8,
    command: "npm run demo -- --seed 5",
  });
  const steps = Array.from({ length: 40 }, (_, i) => i + 1);
  const history = {
    loss: steps.map((step) => 5 / step),
    accuracy: steps.map((step) => step / 40),
    learningRate: steps.map((step) => 2e-3 / step),
    scale: steps.map(() => 14),
  };
  return { result, scored: { data, split, cosines, scale: 20 }, history };
}
