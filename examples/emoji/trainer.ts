import type { Device } from "../../lib/device";
import type { ClipModel } from "../../lib/models/clip_model";
import { initializeParameters } from "../../lib/nn/initialize_parameters";
import { AdamW } from "../../lib/optim/adamw";
import { Lamb } from "../../lib/optim/lamb";
import type { Optimizer } from "../../lib/optim/optimizer";
import { parameterRules } from "../../lib/optim/parameter_groups";
import { warmupCosine } from "../../lib/optim/schedule";
import { checkFinite, TrainingStep } from "../../lib/train/training_step";
import { trainingBatch, viewImages } from "./batches";
import type { Recipe } from "./recipe";
import type { Sampler } from "./sampler";
import type { Vocabulary } from "./vocabulary";

/** What a step reports. */
export interface StepRecord {
  /** 1 for the first. */
  step: number;
  loss: number;
  /** Share of the batch's images whose own caption scored highest. */
  accuracy: number;
  learningRate: number;
  /** e^logitScale */
  scale: number;
}

/** Gives the model and the optimizer memory on the device and their first values. */
async function prepare(device: Device, model: ClipModel, recipe: Recipe): Promise<Optimizer> {
  const { learningRate, weightDecay } = recipe;
  const tower = { learningRate, weightDecay };
  const rules = parameterRules(model.parameters(), { image: tower, text: tower, other: tower });
  const optimizer = recipe.optimizer === "lamb" ? new Lamb(rules, recipe) : new AdamW(rules, recipe);
  const parameters = [...model.parameters(), ...optimizer.state()];
  for (const parameter of parameters) parameter.allocate(device);
  await initializeParameters(device, parameters, recipe.seed);
  return optimizer;
}

/** Trains a model, one step an item. The next batch is made while the device computes. */
export async function* trainSteps(
  device: Device,
  model: ClipModel,
  sampler: Sampler,
  vocabulary: Vocabulary,
  recipe: Recipe,
): AsyncGenerator<StepRecord> {
  const optimizer = await prepare(device, model, recipe);
  const training = new TrainingStep(device, model, optimizer, viewImages);
  const firstWhole = Math.round(recipe.steps * (1 - recipe.undropped));
  const timing = {
    warmupSteps: Math.max(1, Math.round(recipe.steps * recipe.warmup)),
    totalSteps: recipe.steps,
  };
  try {
    let batch = trainingBatch(sampler, vocabulary, 0);
    for (let step = 0; step < recipe.steps; step++) {
      const schedule = warmupCosine(step, timing);
      const patchDropout = step < firstWhole ? model.image.patchDropout : 0;
      const running = training.run(batch, { step, schedule, seed: recipe.seed, patchDropout });
      if (step + 1 < recipe.steps) batch = trainingBatch(sampler, vocabulary, step + 1);
      const result = await running;
      checkFinite(result, step + 1);
      yield {
        step: step + 1,
        loss: result.loss,
        accuracy: result.imageAccuracy,
        learningRate: recipe.learningRate * schedule,
        scale: result.logitScale,
      };
    }
  } finally {
    training.dispose();
  }
}

/** Numbers of trained values, the logit scale left out. */
export function parameterCounts(model: ClipModel): { image: number; text: number } {
  const count = (tower: ClipModel["image"] | ClipModel["text"]) =>
    tower.parameters().reduce((total, { size }) => total + size, 0);
  return { image: count(model.image), text: count(model.text) };
}
