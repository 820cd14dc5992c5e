// The demo's training as a whole (drawings, captions, augmentation, forward, backward, LAMB) against PyTorch on the same
// cores. The two alternate, a few dozen steps at a time, and the medians are compared.
//   npm run bench -- demo_training [--precision f32,bf16] [--rounds 5] [--steps 40] [--json]
// The peer needs PyTorch, timm and a C++ compiler; its Python is EVA_CLIP_PEER_PYTHON, by default `python3`.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { availableProcessors } from "../lib/container_limits";
import { trainingBatch } from "../examples/emoji/batches";
import { type DataSet, loadDataSet } from "../examples/emoji/data_set";
import { CONTEXT_LENGTH, modelConfig, type Recipe, recipeFor } from "../examples/emoji/recipe";
import { Sampler, trainingTexts } from "../examples/emoji/sampler";
import { splitDataSet } from "../examples/emoji/split";
import { DEFAULT_TEST_STYLE } from "../examples/emoji/styles";
import { startTraining } from "../examples/emoji/trainer";
import { Vocabulary } from "../examples/emoji/vocabulary";
import { Device, parseClipConfig } from "eva-clip";
import { ClipTokenizer } from "eva-clip/data";
import { ClipModel } from "eva-clip/train";
import { compare, median, printRows } from "./comparison";
import { peerForms, startTrainingPeer } from "./peer";

/** Warm-up steps of each run, not counted: programs are compiled and caches fill. */
const WARMUP_STEPS = 10;

interface Work {
  data: DataSet;
  sampler: Sampler;
  vocabulary: Vocabulary;
  recipe: Recipe;
  drawings: number;
}

async function prepare(precision: "f32" | "bf16", steps: number): Promise<Work> {
  const data = await loadDataSet(resolve(__dirname, "../runs/cache/emoji"), false, () => undefined);
  const { train } = splitDataSet(data, DEFAULT_TEST_STYLE, "test");
  const vocabulary = Vocabulary.of(trainingTexts(data, train), new ClipTokenizer(), CONTEXT_LENGTH);
  const chosen = recipeFor({ seed: 0, steps: steps + WARMUP_STEPS, optimizer: "lamb", precision });
  // Patch dropout of one half, as in nearly all of the demo's steps.
  const recipe = { ...chosen, undropped: 0 };
  const drawings = train.reduce((total, concept) => total + concept.drawings.length, 0);
  return { data, sampler: new Sampler(data, train, recipe), vocabulary, recipe, drawings };
}

/** Seconds per step of eva-clip, in a training run of its own. */
async function ourTurn(device: Device, { sampler, vocabulary, recipe }: Work): Promise<number> {
  const config = parseClipConfig(modelConfig(vocabulary.vocabularySize));
  const model = new ClipModel(config, { precision: recipe.precision, init: "fan_in" });
  const folder = await mkdtemp(join(tmpdir(), "eva-clip-"));
  try {
    const run = await startTraining(device, model, sampler, vocabulary, recipe, folder);
    let [start, end] = [0, 0];
    for await (const event of run) {
      if (event.type !== "step") continue;
      end = performance.now();
      if (event.step === WARMUP_STEPS) start = end;
    }
    await run.result;
    return (end - start) / 1e3 / (recipe.steps - WARMUP_STEPS);
  } finally {
    model.dispose();
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(precision: "f32" | "bf16", rounds: number, steps: number, threads: number) {
  const work = await prepare(precision, steps);
  const { batch } = work.recipe;
  const { cuSeqlens } = trainingBatch(work.sampler, work.vocabulary, 0);
  const lengths = Array.from({ length: batch }, (_, b) => cuSeqlens[b + 1]! - cuSeqlens[b]!);
  const forms = peerForms[precision];
  const training = { precision, model: "demo", optimizer: "flat", lengths, threads };
  const { drawings, recipe } = work;
  const started = await startTrainingPeer("demo_training.py", training, [
    ...["--drawings", String(drawings), "--augment", String(recipe.augment)],
  ]);
  const device = await Device.open("cpu", { threads });
  const ours = `eva-clip ${precision}`;
  const seconds = new Map<string, number[]>([ours, ...forms].map((form) => [form, []]));
  for (let round = 0; round < rounds; round++) {
    seconds.get(ours)!.push(await ourTurn(device, work));
    for (const form of started ? forms : []) {
      const turn: number[] = [];
      for (let step = 0; step < steps; step++) turn.push(await started!.peer.step(form));
      seconds.get(form)!.push(median(turn));
    }
  }
  started?.peer.stop();
  await device.dispose();
  const name = `the demo's training, batch ${batch}`;
  return compare(seconds, { case: name, torch: started?.version, threads, batch });
}

async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: {
      precision: { type: "string", default: "f32,bf16" },
      rounds: { type: "string", default: "5" },
      steps: { type: "string", default: "40" },
      threads: { type: "string", default: String(availableProcessors()) },
      json: { type: "boolean", default: false },
    },
  });
  const [rounds, steps, threads] = [options.rounds, options.steps, options.threads].map(Number);
  for (const precision of options.precision.split(",") as ("f32" | "bf16")[]) {
    if (!(precision in peerForms)) throw new Error(`no precision ${precision}`);
    printRows(await measure(precision, rounds!, steps!, threads!), options.json);
  }
}

void main();
