import { compileByShape } from "../../lib/compile";
import type { PackedText } from "../../lib/data/batch";
import { packText } from "../../lib/data/pack_text";
import type { Device } from "../../lib/device";
import { EvaClipError } from "../../lib/errors";
import { grad } from "../../lib/grad";
import { HostTensor } from "../../lib/host_tensor";
import type { ClipModel } from "../../lib/models/clip_model";
import { initializeParameters } from "../../lib/nn/initialize_parameters";
import { affineSample } from "../../lib/ops/affine_sample";
import { clipLoss } from "../../lib/ops/clip_loss";
import { clampUpdate } from "../../lib/ops/optimizer";
import { AdamW } from "../../lib/optim/adamw";
import { Lamb } from "../../lib/optim/lamb";
import type { Optimizer } from "../../lib/optim/optimizer";
import { parameterRules } from "../../lib/optim/parameter_groups";
import { warmupCosine } from "../../lib/optim/schedule";
import type { Tensor } from "../../lib/tensor";
import type { Augmentation } from "./augment";
import { DRAWING_SIZE } from "./data_set";
import type { Recipe } from "./recipe";
import type { Sampler } from "./sampler";
import type { Vocabulary } from "./vocabulary";

/** Published: exp of the logit scale stays within 1 … 100 (Radford et al. 2021). */
const GREATEST_LOGIT_SCALE = Math.log(100);

/** Packed captions are padded to a multiple of this, so that a run needs only a handful of programs. */
const TEXT_BUCKET = 64;

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

type StepInputs = Record<string, HostTensor>;

/** Gives the model and the optimizer memory on the device and their first values. */
export async function prepare(device: Device, model: ClipModel, recipe: Recipe): Promise<Optimizer> {
  const { learningRate, weightDecay } = recipe;
  const tower = { learningRate, weightDecay };
  const rules = parameterRules(model.parameters(), { image: tower, text: tower, other: tower });
  const optimizer = recipe.optimizer === "lamb" ? new Lamb(rules, recipe) : new AdamW(rules, recipe);
  const parameters = [...model.parameters(), ...optimizer.state()];
  for (const parameter of parameters) parameter.allocate(device);
  await initializeParameters(device, parameters, recipe.seed);
  return optimizer;
}

/**
 * Trains a model, one step an item. The next batch is made while the device computes.
 *
 * @throws EvaClipError `ERR_EVACLIP_NOT_FINITE` when the loss is not a number
 */
export async function* trainSteps(
  device: Device,
  model: ClipModel,
  optimizer: Optimizer,
  sampler: Sampler,
  vocabulary: Vocabulary,
  recipe: Recipe,
): AsyncGenerator<StepRecord> {
  const dropping = stepProgram(device, model, optimizer);
  const whole = stepProgram(device, model, optimizer, 0);
  const firstWhole = Math.round(recipe.steps * (1 - recipe.undropped));
  try {
    let inputs = stepInputs(0, sampler, vocabulary, recipe);
    for (let step = 0; step < recipe.steps; step++) {
      const running = (step < firstWhole ? dropping : whole)(inputs);
      const schedule = inputs.schedule!.item();
      if (step + 1 < recipe.steps) inputs = stepInputs(step + 1, sampler, vocabulary, recipe);
      const { loss, accuracy, logitScale } = await running;
      if (!Number.isFinite(loss.item())) throw lossNotFinite(step + 1, loss.item());
      yield {
        step: step + 1,
        loss: loss.item(),
        accuracy: accuracy.item(),
        learningRate: recipe.learningRate * schedule,
        scale: Math.exp(logitScale.item()),
      };
    }
  } finally {
    dropping.dispose();
    whole.dispose();
  }
}

/** One training step, compiled for each shape of packed text that occurs. */
function stepProgram(device: Device, model: ClipModel, optimizer: Optimizer, patchDropout?: number) {
  return compileByShape(device, (inputs) => {
    const { seed, schedule, step } = inputs as { seed: Tensor; schedule: Tensor; step: Tensor };
    const image = model.image.encode(viewImages(inputs, model.image.imageSize), { seed, patchDropout });
    const text = model.text.encode(captionsOf(inputs));
    const { loss, imageAccuracy } = clipLoss(image, text, model.logitScale);
    const gradients = grad(loss, optimizer.parameters);
    const { gradientNorm } = optimizer.update(gradients, { schedule, step });
    clampUpdate([model.logitScale], 0, GREATEST_LOGIT_SCALE);
    return { loss, accuracy: imageAccuracy, gradientNorm, logitScale: model.logitScale };
  });
}

function stepInputs(step: number, sampler: Sampler, vocabulary: Vocabulary, recipe: Recipe): StepInputs {
  const { captions, drawings, augmentation } = sampler.batch(step);
  const warmupSteps = Math.max(1, Math.round(recipe.steps * recipe.warmup));
  const schedule = warmupCosine(step, { warmupSteps, totalSteps: recipe.steps });
  return {
    ...imageInputs(drawings, augmentation),
    ...textInputs(
      packText(
        captions.map((text) => vocabulary.encode(text)),
        TEXT_BUCKET,
      ),
    ),
    seed: new HostTensor("i32", [2], Int32Array.of(recipe.seed, step)),
    schedule: new HostTensor("f32", [], Float32Array.of(schedule)),
    step: new HostTensor("i32", [], Int32Array.of(step + 1)),
  };
}

/** Drawings u8 [B, 64, 64, 4] and how to show them. */
export function imageInputs(
  drawings: Uint8Array,
  { transform, background, colour }: Augmentation,
): StepInputs {
  const batch = background.length / 3;
  return {
    drawings: new HostTensor("u8", [batch, DRAWING_SIZE, DRAWING_SIZE, 4], drawings),
    transform: new HostTensor("f32", [batch, 2, 3], transform),
    background: new HostTensor("f32", [batch, 3], background),
    colour: new HostTensor("f32", [batch, 3, 4], colour),
  };
}

export function textInputs({ tokens, cuSeqlens, textEnds }: PackedText): StepInputs {
  return {
    tokens: new HostTensor("i32", [tokens.length], tokens),
    cuSeqlens: new HostTensor("i32", [cuSeqlens.length], cuSeqlens),
    textEnds: new HostTensor("i32", [textEnds.length], textEnds),
  };
}

/** The images that `imageInputs` describes, u8 [B, size, size, 3]. */
export function viewImages(inputs: Record<string, Tensor>, size: number): Tensor {
  const { drawings, transform, background, colour } = inputs;
  return affineSample(drawings!, { transform: transform!, background: background!, colour: colour!, size });
}

/** The captions that `textInputs` describes. */
export function captionsOf({ tokens, cuSeqlens, textEnds }: Record<string, Tensor>) {
  return { tokens: tokens!, cuSeqlens: cuSeqlens!, textEnds: textEnds! };
}

function lossNotFinite(step: number, loss: number): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_NOT_FINITE", `the loss of step ${step} is ${loss}`, { step });
}
