// Trains a small model from scratch and saves it in model/. A run that was interrupted goes on where it ended.
import type { EvaClip } from "eva-clip";
import { trainRecipe } from "eva-clip/train";
import { COLORS, captionOf, drawing } from "./sample_data";

async function main() {
  const run = await trainRecipe({
    // For photographs take a published configuration, "EVA02-CLIP-B-16", with pretrained: "…" to fine-tune its weights.
    model: {
      embed_dim: 64,
      vision_cfg: { image_size: 48, patch_size: 8, width: 96, layers: 2, head_width: 32 },
      text_cfg: { width: 64, heads: 2, layers: 2, context_length: 16, vocab_size: 49408 },
    },
    init: "fan_in",
    trainData: "data/captions.csv",
    batchSize: 50,
    steps: Number(process.env.STEPS ?? 300),
    learningRate: 2e-3,
    clipNorm: 1,
    seed: 1,
    folder: "run",
    checkpoint: { everySteps: 100, keepLast: 2 },
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
  const labels = COLORS.map((color) => captionOf(color, "star"));
  await using classifier = await model.classifier(labels, { templates: ["{}"] });
  let right = 0;
  for (const color of COLORS) {
    const [best] = await classifier.classify(await drawing(color, "star"));
    if (best?.label === captionOf(color, "star")) right++;
    console.log(
      `${captionOf(color, "star")}: ${best?.label}, ${((best?.probability ?? 0) * 100).toFixed(0)} %`,
    );
  }
  console.log(`${right} of ${COLORS.length} new drawings named right; the model is in model/`);
}

main();
