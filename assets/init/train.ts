// Trains a small model from scratch and saves it in model/. A run that was interrupted goes on where it ended.
import type { EvaClip } from "eva-clip";
import { trainRecipe } from "eva-clip/train";
import { captionOf, COLORS, drawing, SHAPES } from "./sample_data";

async function main() {
  const run = await trainRecipe({
    // For photographs take a published configuration, "EVA02-CLIP-B-16", with pretrained: "…" to fine-tune its weights.
    model: {
      embed_dim: 64,
      vision_cfg: { image_size: 64, patch_size: 8, width: 128, layers: 3, head_width: 32 },
      text_cfg: { width: 128, heads: 4, layers: 2, context_length: 16, vocab_size: 49408 },
    },
    init: "fan_in",
    trainData: "data/captions.csv",
    batchSize: 50,
    steps: Number(process.env.STEPS ?? 400),
    learningRate: 1e-3,
    clipNorm: 1,
    seed: 1,
    folder: "run",
    checkpoint: { everySteps: 200, keepLast: 2 },
    resume: "latest",
  });
  process.once("SIGINT", () => run.stop()); // ends after the current step, with a checkpoint
  for await (const event of run) {
    if (event.type !== "step" || event.step % 20 !== 0) continue;
    console.log(
      `step ${event.step}: loss ${event.loss.toFixed(3)}, ${Math.round(event.samplesPerSecond)} pictures/s`,
    );
  }
  await run.result;
  await run.model.save("model");
  await tryOut(run.model);
  await run.dispose();
}

/** Names drawings that were not in training. */
async function tryOut(model: EvaClip) {
  const drawn = COLORS.flatMap((color) =>
    SHAPES.map((shape) => ({ color, shape, caption: captionOf(color, shape) })),
  );
  const labels = drawn.map(({ caption }) => caption);
  await using classifier = await model.classifier(labels, { templates: ["{}"] });
  let right = 0;
  for (const { color, shape, caption } of drawn) {
    const [best] = await classifier.classify(await drawing(color, shape));
    if (best?.label === caption) right++;
    else console.log(`${caption}, taken for ${best?.label}`);
  }
  console.log(`${right} of ${drawn.length} new drawings named right; the model is in model/`);
}

main();
