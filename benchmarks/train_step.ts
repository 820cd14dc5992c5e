// One training step (forward, backward, LAMB) of EVA02-CLIP-B/16 and of the demo's model, against PyTorch on the same
// cores: the two alternate, so that other load on the machine affects both alike, and medians are compared.
//   npm run bench -- train_step [--model b16,demo] [--precision f32,bf16] [--rounds 7] [--profile] [--json]
// The peer needs PyTorch, timm and a C++ compiler; its Python is EVA_CLIP_PEER_PYTHON, by default `python3`.
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { modelConfig as emojiConfig } from "../examples/emoji/recipe";
import { packText } from "../lib/text/pack_text";
import { CounterRandom } from "../lib/random";
import { Device } from "../lib/device";
import { sharedArray } from "../lib/host_tensor";
import { type ClipConfig, parseClipConfig } from "../lib/models/clip_config";
import { ClipModel } from "../lib/models/clip_model";
import { modelConfig } from "../lib/models/known_models";
import { AdamW } from "../lib/optim/adamw";
import { Lamb } from "../lib/optim/lamb";
import { parameterRules } from "../lib/optim/parameter_groups";
import type { TrainingBatch } from "../lib/train/batch_source";
import { initializeModel } from "../lib/weights/initialize";
import { TrainingStep } from "../lib/train/training_step";
import { compare, printRows } from "./comparison";
import { peerForms, startTrainingPeer } from "./peer";
import { measurePeak, printProfile } from "./profile";

interface Case {
  name: string;
  peerModel: string;
  peerOptimizer: string;
  config: ClipConfig;
  batch: number;
  meanLength: number;
  lamb: boolean;
}

const cases: Record<string, Case> = {
  b16: {
    name: "EVA02-CLIP-B/16, batch 16, 50 % patch dropout, LAMB",
    peerModel: "B16",
    peerOptimizer: "flat",
    config: modelConfig("EVA02-CLIP-B-16"),
    batch: 16,
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
function captionLengths({ batch, meanLength }: Case, longest: number): number[] {
  const random = new CounterRandom(1);
  return Array.from({ length: batch }, () => {
    const normal = Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
    return Math.min(longest, Math.max(3, Math.round(meanLength * Math.exp(0.45 * normal - 0.1))));
  });
}

function syntheticBatch(chosen: Case, model: ClipModel, lengths: readonly number[]): TrainingBatch {
  const { vocab_size: vocabulary } = model.config.text_cfg;
  const random = new CounterRandom(2);
  const captions = lengths.map((length) =>
    Int32Array.from({ length }, (_, i) => (i === length - 1 ? vocabulary - 1 : random.below(vocabulary - 2))),
  );
  const images = sharedArray("u8", chosen.batch * model.image.imageSize ** 2 * 3); // as from the loader
  for (let i = 0; i < images.length; i++) images[i] = random.below(256);
  return { images, size: chosen.batch, ...packText(captions, 64) };
}

interface Ours {
  form: string;
  step(): Promise<number>;
  training: TrainingStep;
  dispose(): void;
}

async function prepare(device: Device, chosen: Case, type: "f32" | "bf16", lengths: number[]): Promise<Ours> {
  const model = new ClipModel(chosen.config, { precision: type });
  await initializeModel(model, device, { seed: 1 });
  const group = { learningRate: 1e-4, weightDecay: 0.05 };
  const rules = parameterRules(model.parameters(), { image: group, text: group, other: group });
  const options = { clipNorm: 1 };
  const optimizer = chosen.lamb ? new Lamb(rules, options) : new AdamW(rules, options);
  await optimizer.allocate(device);
  const training = new TrainingStep({ device, model, optimizer });
  const batch = syntheticBatch(chosen, model, lengths);
  const learningRates = optimizer.learningRatesAt(1);
  let count = 0;
  const step = async () => {
    const start = performance.now();
    await training.run(batch, { step: count++, learningRates, seed: 0, patchDropout: 0.5 });
    return (performance.now() - start) / 1e3;
  };
  for (let i = 0; i < 2; i++) await step();
  const dispose = () => {
    training.dispose();
    optimizer.dispose();
    model.dispose();
  };
  return { form: `eva-clip ${type}`, step, training, dispose };
}

async function measure(
  chosen: Case,
  precision: "f32" | "bf16",
  rounds: number,
  threads: number,
  profile: boolean,
) {
  const device = await Device.open("cpu", { threads });
  const longest = chosen.config.text_cfg.context_length;
  const lengths = captionLengths(chosen, longest);
  const forms = peerForms[precision];
  const started = await startTrainingPeer("train_step.py", {
    model: chosen.peerModel,
    optimizer: chosen.peerOptimizer,
    lengths,
    forms,
    threads,
  });
  const ours = await prepare(device, chosen, precision, lengths);
  const seconds = new Map<string, number[]>([ours.form, ...forms].map((form) => [form, []]));
  for (let round = 0; round < rounds; round++) {
    seconds.get(ours.form)!.push(await ours.step());
    if (started) for (const form of forms) seconds.get(form)!.push(await started.peer.step(form));
  }
  started?.peer.stop();
  if (profile) await printProfile(ours.training.programs(), ours.step, measurePeak(threads));
  ours.dispose();
  await device.dispose();
  return compare(seconds, { case: chosen.name, torch: started?.version, threads, batch: chosen.batch });
}

async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: {
      model: { type: "string", default: "b16,demo" },
      precision: { type: "string", default: "f32,bf16" },
      rounds: { type: "string", default: "7" },
      threads: { type: "string", default: String(availableParallelism()) },
      profile: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  for (const model of options.model.split(",")) {
    for (const precision of options.precision.split(",") as ("f32" | "bf16")[]) {
      const chosen = cases[model];
      if (!chosen || !(precision in peerForms)) throw new Error(`no case ${model} ${precision}`);
      const rows = await measure(
        chosen,
        precision,
        Number(options.rounds),
        Number(options.threads),
        options.profile,
      );
      printRows(rows, options.json);
    }
  }
}

void main();
