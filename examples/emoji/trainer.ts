import type { Device } from "eva-clip";
import {
  AdamW,
  batchesByStep,
  type ClipModel,
  initializeModel,
  Lamb,
  type Optimizer,
  parameterRules,
  type TrainingRun,
  train,
} from "eva-clip/train";
import { trainingBatch, viewImages } from "./batches";
import type { Recipe } from "./recipe";
import type { Sampler } from "./sampler";
import type { Vocabulary } from "./vocabulary";

/**
 * Initializes the model and starts training.
 *
 * @param folder folder of the checkpoint of the trained model
 */
export async function startTraining(
  device: Device,
  model: ClipModel,
  sampler: Sampler,
  vocabulary: Vocabulary,
  recipe: Recipe,
  folder: string,
): Promise<TrainingRun> {
  const { seed, steps, warmup, undropped } = recipe;
  await initializeModel(model, device, { seed });
  return train({
    device,
    model,
    optimizer: optimizerFor(model, recipe),
    data: batchesByStep((step) => trainingBatch(sampler, vocabulary, step)),
    images: viewImages,
    steps,
    seed,
    schedule: { warmupSteps: Math.round(steps * warmup) },
    patchDropout: { rate: model.image.patchDropout, undroppedEnd: undropped },
    checkpoint: { directory: folder, keepLast: 1 },
  });
}

function optimizerFor(model: ClipModel, recipe: Recipe): Optimizer {
  const { learningRate, weightDecay, beta1, beta2, eps, clipNorm } = recipe;
  const tower = { learningRate, weightDecay };
  const rules = parameterRules(model.parameters(), { image: tower, text: tower, other: tower });
  const settings = { beta1, beta2, eps, clipNorm };
  return recipe.optimizer === "lamb" ? new Lamb(rules, settings) : new AdamW(rules, settings);
}

/** Parameter counts, without the logit scale. */
export function parameterCounts(model: ClipModel): { image: number; text: number } {
  const count = (tower: ClipModel["image"] | ClipModel["text"]) =>
    tower.parameters().reduce((total, { size }) => total + size, 0);
  return { image: count(model.image), text: count(model.text) };
}
