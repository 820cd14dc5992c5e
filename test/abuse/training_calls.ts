// Correct calls of the functions that start a training run.
import { join } from "node:path";
import { tinyBatch, tinyConfig, tinyTraining } from "../support/tiny_clip";
import type { PublicCall, World } from "./public_calls";
import * as eva from "./public_names";

async function shortRun(run: eva.TrainingRun): Promise<void> {
  const ended = run.result.catch((error: unknown) => error);
  setTimeout(() => run.stop(), 300);
  const outcome = await ended;
  if (outcome instanceof Error) throw outcome;
}

export async function training(w: World): Promise<PublicCall> {
  const { model, optimizer } = await tinyTraining(w.device);
  const given = {
    ...{ device: w.device, model, optimizer, steps: 2, seed: 1 },
    data: eva.batchesByStep((step) => tinyBatch(step)),
    schedule: { warmupSteps: 1 },
    patchDropout: { rate: 0.5, undroppedEnd: 0.1 },
    checkpoint: { directory: join(w.folder, `run${process.hrtime.bigint()}`), every: 1, keepLast: 1 },
    evaluate: { every: 1, run: async () => ({ score: 1 }) },
    metricsFile: join(w.folder, "metrics.jsonl"),
  };
  return {
    target: eva.train,
    given: [given, { signal: new AbortController().signal }],
    after: shortRun as never,
  };
}

export function recipe(w: World): PublicCall {
  return {
    target: eva.trainRecipe,
    given: [
      {
        model: { ...tinyConfig, text_cfg: { ...tinyConfig.text_cfg, vocab_size: 49408 } },
        trainData: join(w.folder, "pairs"),
        device: w.device,
        ...{ batchSize: 2, steps: 1, seed: 1, learningRate: 1e-3, weightDecay: 0.1, clipNorm: 1 },
        imageTower: { layerDecay: 0.9, freeze: { unlockedGroups: 1 } },
        schedule: { kind: "const", warmupSteps: 0 },
        patchDropout: { rate: 0.5, undroppedEnd: 0 },
        loader: { concurrency: 1, textBucket: 16 },
        evaluation: { retrieval: { data: join(w.folder, "pairs"), samples: 1 } },
      },
    ],
    after: ((run: eva.RecipeRun) => run.dispose()) as never,
  };
}
