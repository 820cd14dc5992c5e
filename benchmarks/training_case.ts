// What the benchmarks of training steps train: a model, a batch and an optimizer.
import { modelConfig as emojiConfig } from "../examples/emoji/recipe";
import type { Device } from "../lib/device";
import { sharedArray } from "../lib/host_tensor";
import { type ClipConfig, parseClipConfig } from "../lib/models/clip_config";
import { ClipModel } from "../lib/models/clip_model";
import { modelConfig } from "../lib/models/known_models";
import { AdamW } from "../lib/optim/adamw";
import { Lamb } from "../lib/optim/lamb";
import { parameterRules } from "../lib/optim/parameter_groups";
import { CounterRandom } from "../lib/random";
import { packText, usualBucket } from "../lib/text/pack_text";
import type { TrainingBatch } from "../lib/train/batch_source";
import { TrainingStep } from "../lib/train/training_step";
import { initializeModel } from "../lib/weights/initialize";
import { secondsOf } from "./comparison";

export interface TrainingCase {
  name: string;
  peerModel: string;
  peerOptimizer: string;
  config: ClipConfig;
  batch: number;
  meanLength: number;
  lamb: boolean;
}

export const trainingCases: Record<string, TrainingCase> = {
  b16: {
    name: "EVA02-CLIP-B/16, batch 16, 50 % patch dropout, LAMB",
    peerModel: "B16",
    peerOptimizer: "flat",
    config: modelConfig("EVA02-CLIP-B-16"),
    batch: 16,
    meanLength: 18,
    lamb: true,
  },
  l14: {
    name: "EVA02-CLIP-L/14, batch 8, 50 % patch dropout, LAMB",
    peerModel: "L14",
    peerOptimizer: "flat",
    config: modelConfig("EVA02-CLIP-L-14"),
    batch: 8,
    meanLength: 18,
    lamb: true,
  },
  demo: {
    name: "the demo's model, batch 128, 50 % patch dropout, AdamW",
    peerModel: "demo",
    peerOptimizer: "adamw",
    config: parseClipConfig(emojiConfig(4096)),
    batch: 128,
    meanLength: 6,
    lamb: false,
  },
};

/** Realistic caption lengths: log-normal around the mean, including start and end of text. */
export function captionLengths({ batch, meanLength }: TrainingCase, longest: number): number[] {
  const random = new CounterRandom(1);
  return Array.from({ length: batch }, () => {
    const normal = Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
    return Math.min(longest, Math.max(3, Math.round(meanLength * Math.exp(0.45 * normal - 0.1))));
  });
}

function syntheticBatch(chosen: TrainingCase, model: ClipModel, lengths: readonly number[]): TrainingBatch {
  const { vocab_size: vocabulary } = model.config.text_cfg;
  const random = new CounterRandom(2);
  const captions = lengths.map((length) =>
    Int32Array.from({ length }, (_, i) => (i === length - 1 ? vocabulary - 1 : random.below(vocabulary - 2))),
  );
  const images = sharedArray("u8", chosen.batch * model.image.imageSize ** 2 * 3); // as from the loader
  for (let i = 0; i < images.length; i++) images[i] = random.below(256);
  return { images, size: chosen.batch, ...packText(captions, usualBucket(captions)) };
}

export interface PreparedTraining {
  readonly training: TrainingStep;
  /** Takes a step on the same batch as all others, and resolves to its seconds. */
  step(): Promise<number>;
  dispose(): void;
}

export interface TrainingForm {
  readonly precision: "f32" | "bf16";
  /** Of the captions, in tokens. */
  readonly lengths: readonly number[];
  readonly gradCheckpointing?: boolean;
}

export async function prepareTraining(
  device: Device,
  chosen: TrainingCase,
  { precision, lengths, gradCheckpointing = false }: TrainingForm,
): Promise<PreparedTraining> {
  const model = new ClipModel(chosen.config, { precision });
  await initializeModel(model, device, { seed: 1 });
  const group = { learningRate: 1e-4, weightDecay: 0.05 };
  const rules = parameterRules(model.parameters(), { image: group, text: group, other: group });
  const options = { clipNorm: 1 };
  const optimizer = chosen.lamb ? new Lamb(rules, options) : new AdamW(rules, options);
  await optimizer.allocate(device);
  const training = new TrainingStep({ device, model, optimizer, gradCheckpointing });
  const batch = syntheticBatch(chosen, model, lengths);
  const learningRates = optimizer.learningRatesAt(1);
  let count = 0;
  const step = () =>
    secondsOf(() => training.run(batch, { step: count++, learningRates, seed: 0, patchDropout: 0.5 }));
  const dispose = () => {
    training.dispose();
    optimizer.dispose();
    model.dispose();
  };
  return { training, step, dispose };
}
