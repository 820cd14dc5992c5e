import { packText } from "../../lib/text/pack_text";
import { CounterRandom } from "../../lib/random";
import type { Tokenizer } from "../../lib/text/tokenizer";
import type { Device } from "../../lib/device";
import { type ClipConfigInput, parseClipConfig } from "../../lib/models/clip_config";
import { ClipModel } from "../../lib/models/clip_model";
import type { FloatDType } from "../../lib/ops/elementwise";
import { initializeParameters } from "../../lib/nn/initialize_parameters";
import { allocateAll, type Parameter } from "../../lib/parameter";
import { AdamW } from "../../lib/optim/adamw";
import { Lamb } from "../../lib/optim/lamb";
import type { Optimizer } from "../../lib/optim/optimizer";
import { parameterRules } from "../../lib/optim/parameter_groups";
import { type TowerLocks, unlockedParameters } from "../../lib/optim/tower_locks";
import type { TrainingBatch } from "../../lib/train/batch_source";
import { initializeModel } from "../../lib/weights/initialize";

/** An EVA-02 whose steps take a few milliseconds. */
export const tinyConfig: ClipConfigInput = {
  embed_dim: 16,
  vision_cfg: {
    image_size: 16,
    layers: 2,
    width: 32,
    head_width: 16,
    patch_size: 4,
    mlp_ratio: 2,
    eva_model_name: "tiny",
    rope: true,
    naiveswiglu: true,
    subln: true,
    patch_dropout: 0.5,
  },
  text_cfg: { context_length: 8, vocab_size: 32, width: 16, heads: 2, layers: 1 },
};

export const START = 30;
export const END = 31;

/** One id per letter. */
export const tinyTokenizer: Tokenizer = {
  vocabularySize: 32,
  encode: (caption, contextLength = 8) => [
    START,
    ...[...caption].slice(0, contextLength - 2).map((letter) => 1 + (letter.charCodeAt(0) % 28)),
    END,
  ],
};

/** A batch as a function of its number: images of a single color, with captions that identify it. */
export function tinyBatch(number: number, size = 8): TrainingBatch {
  const random = new CounterRandom(7, number);
  const classes = Array.from({ length: size }, () => random.below(20));
  const images = new Uint8Array(size * 16 * 16 * 3);
  classes.forEach((label, b) => {
    const color = new CounterRandom(11, label);
    const rgb = [color.below(200), color.below(200), color.below(200)];
    for (let i = 0; i < 16 * 16 * 3; i++) images[b * 16 * 16 * 3 + i] = rgb[i % 3]! + random.below(40);
  });
  const captions = classes.map((label) => [START, 1 + label, END]);
  return { size, images, ...packText(captions, 16) };
}

export interface TinyOptions {
  optimizer?: "adamw" | "lamb";
  seed?: number;
  learningRate?: number;
  locks?: TowerLocks;
  /** What the model computes in. */
  type?: FloatDType;
  /** Fields of the configuration to change. */
  config?: Partial<ClipConfigInput>;
  /** Parameters to train beside the model's; they get memory and initial values. */
  own?: readonly Parameter[];
}

/** An initialized model and its optimizer. */
export async function tinyTraining(
  device: Device,
  options: TinyOptions = {},
): Promise<{ model: ClipModel; optimizer: Optimizer }> {
  const { optimizer = "adamw", seed = 1, learningRate = 1e-3, locks = {}, type, config, own = [] } = options;
  const model = new ClipModel(parseClipConfig({ ...tinyConfig, ...config }), {
    init: "fan_in",
    ...(type && { precision: type }),
  });
  await initializeModel(model, device, { seed });
  const tower = { learningRate, weightDecay: 0.05, layerDecay: 0.9 };
  allocateAll(own, device);
  await initializeParameters(device, own, seed);
  const all = [...model.parameters(), ...own];
  const settings = { image: tower, text: tower, other: tower };
  const rules = parameterRules(all, settings, unlockedParameters(all, locks));
  return { model, optimizer: optimizer === "lamb" ? new Lamb(rules) : new AdamW(rules, { clipNorm: 1 }) };
}

/** Every parameter's bits, to compare exactly. */
export async function contentOf(
  parameters: readonly { name: string; read(): Promise<{ data: ArrayLike<number> }> }[],
) {
  const content: Record<string, number[]> = {};
  for (const parameter of parameters) content[parameter.name] = Array.from((await parameter.read()).data);
  return content;
}
