import { availableParallelism, totalmem } from "node:os";
import type { ClipConfigInput, DeviceInfo } from "eva-clip";
import type { DataSet } from "./data_set";
import { type Metrics, metricsOf, type Recall } from "./metrics";
import type { PixelBaseline } from "./pixel_baseline";
import type { Recipe } from "./recipe";
import type { Split } from "./split";

/** The contents of `result.json`. Scores are fractions of 1. */
export interface DemoResult {
  testStyle: string;
  /** "validation": the scores are those of another style; the test style was not used. */
  purpose: "test" | "validation";
  seed: number;
  steps: number;
  /** Wall time of training, without evaluation. */
  seconds: number;
  samplesPerSecond: number;
  styleTop1: number;
  styleTop5: number;
  styleSeenTop1: number;
  styleSeenTop5: number;
  unseenTop1: number;
  unseenTop5: number;
  /** Chance level of test A; that of test B is `unseenChance`. */
  chance: number;
  unseenChance: number;
  pixelBaselineTop1: number;
  pixelBaselineTop5: number;
  retrieval: { imageToText: Recall; textToImage: Recall };
  metrics: Metrics;
  pixelBaseline: PixelBaseline;
  trainingStyles: string[];
  trainingConcepts: number;
  trainingImages: number;
  vocabularySize: number;
  parameters: { image: number; text: number };
  config: Record<string, unknown>;
  versions: Record<string, string>;
  machine: {
    processor: string;
    cores: number;
    memoryGiB: number;
    device: string;
    threads: number;
    instructionSet: string;
    library: string;
  };
  /** The command line. */
  command: string;
  finishedAt: string;
}

/** The inputs of `assembleResult`. */
export interface RunFacts {
  data: DataSet;
  split: Split;
  recipe: Recipe;
  config: ClipConfigInput;
  vocabularySize: number;
  parameters: { image: number; text: number };
  device: DeviceInfo;
  /** The test's cosines, f32 [N, N]. */
  cosines: Float32Array;
  pixelBaseline: PixelBaseline;
  /** Wall time of training. */
  seconds: number;
  command: string;
}

/** Scores the test and assembles the result. */
export function assembleResult(run: RunFacts): DemoResult {
  const { data, split, recipe, device, pixelBaseline, seconds } = run;
  const items = split.test.map(({ concept, unseen }) => ({ unseen, group: data.concepts[concept]!.group }));
  const metrics = metricsOf(run.cosines, items);
  const { seed, steps, ...settings } = recipe;
  return {
    testStyle: split.style,
    purpose: split.purpose,
    seed,
    steps,
    seconds,
    samplesPerSecond: (steps * recipe.batch) / seconds,
    styleTop1: metrics.style.top1,
    styleTop5: metrics.style.top5,
    styleSeenTop1: metrics.styleSeen.top1,
    styleSeenTop5: metrics.styleSeen.top5,
    unseenTop1: metrics.unseen.top1,
    unseenTop5: metrics.unseen.top5,
    chance: 1 / metrics.names,
    unseenChance: 1 / metrics.unseenNames,
    pixelBaselineTop1: pixelBaseline.top1,
    pixelBaselineTop5: pixelBaseline.top5,
    retrieval: { imageToText: metrics.style, textToImage: metrics.textToImage },
    metrics,
    pixelBaseline,
    trainingStyles: split.trainingStyles,
    trainingConcepts: split.train.length,
    trainingImages: split.train.reduce((total, { drawings }) => total + drawings.length, 0),
    vocabularySize: run.vocabularySize,
    parameters: run.parameters,
    config: { ...settings, model: run.config },
    versions: { node: process.version, dataSet: data.version },
    machine: {
      processor: device.name,
      cores: availableParallelism(),
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      device: device.kind,
      threads: device.threads,
      instructionSet: device.instructionSet,
      library: device.library,
    },
    command: run.command,
    finishedAt: new Date().toISOString().slice(0, 10),
  };
}

/** One row of the result table. Undefined where a column does not apply. */
export interface ResultRow {
  name: string;
  choices: number;
  top1: number;
  top5: number;
  top10?: number;
  pixelTop1?: number;
  pixelTop5?: number;
}

/** The rows that both the terminal and the report show. */
export function resultRows(result: DemoResult): ResultRow[] {
  const { metrics, pixelBaseline } = result;
  return [
    {
      name: "A: unseen style, all concepts",
      choices: metrics.names,
      ...metrics.style,
      pixelTop1: pixelBaseline.top1,
      pixelTop5: pixelBaseline.top5,
    },
    {
      name: "A: unseen style, concepts seen in other styles",
      choices: metrics.names,
      ...metrics.styleSeen,
      pixelTop1: pixelBaseline.seenTop1,
      pixelTop5: pixelBaseline.seenTop5,
    },
    { name: "B: unseen style and unseen concepts", choices: metrics.unseenNames, ...metrics.unseen },
    { name: "Retrieval, name to image", choices: metrics.names, ...metrics.textToImage },
  ];
}

/** "23.9 %", with a non-breaking space. */
export function percent(fraction: number): string {
  const value = fraction * 100;
  return `${value.toFixed(value > 0 && value < 1 ? 2 : 1)}\u00a0%`;
}

/** "4:32" */
export function minutes(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** "12,345" */
export function thousands(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}
