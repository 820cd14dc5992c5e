// A small training run of the command line, and what it leaves.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { png, writeFiles } from "../data/sample_files";
import { cli } from "./scenario";

const config = {
  embed_dim: 16,
  vision_cfg: { image_size: 16, layers: 1, width: 32, head_width: 16, patch_size: 8, eva_model_name: "tiny" },
  text_cfg: { context_length: 16, width: 8, heads: 1, layers: 1 },
};

export async function makeTrainingData(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  writeFileSync(join(folder, "tiny.json"), JSON.stringify(config));
  for (let i = 0; i < 24; i++) {
    await writeFiles(folder, {
      [`pairs/${i}.png`]: await png(10 * i, 20),
      [`pairs/${i}.txt`]: `square number ${i}`,
    });
  }
}

export interface RunSettings {
  readonly steps: number;
  readonly logs?: string;
  readonly more?: readonly string[];
}

/** The words of a training run over the data that `makeTrainingData` made. */
export function trainWords(folder: string, name: string, { steps, logs, more = [] }: RunSettings): string[] {
  return [
    ...[...cli, "train", "--train-data", join(folder, "pairs"), "--model", join(folder, "tiny.json")],
    ...[
      "--init",
      "fan_in",
      "--batch-size",
      "8",
      "--steps",
      String(steps),
      "--device",
      "cpu",
      "--threads",
      "1",
    ],
    ...["--logs", logs ?? join(folder, "logs"), "--name", name, ...more],
  ];
}

export function checkpointsOf(folder: string, name: string): string[] {
  try {
    return readdirSync(join(folder, "logs", name, "checkpoints"))
      .filter((entry) => /^step-\d+$/.test(entry))
      .sort();
  } catch {
    return [];
  }
}

export function checkpointFile(folder: string, name: string, checkpoint: string, file: string): Buffer {
  return readFileSync(join(folder, "logs", name, "checkpoints", checkpoint, file));
}

/** The steps in the metrics file, in its order. */
export function loggedSteps(folder: string, name: string): number[] {
  const text = readFileSync(join(folder, "logs", name, "metrics.jsonl"), "utf8").trim();
  const events = text.split("\n").map((line) => JSON.parse(line) as { type: string; step: number });
  return events.filter(({ type }) => type === "step").map(({ step }) => step);
}
