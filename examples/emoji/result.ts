import type { Metrics, Recall } from "./metrics";
import type { PixelBaseline } from "./pixel_baseline";

/** Everything that a run found out: the contents of `result.json`. Scores are fractions of 1. */
export interface DemoResult {
  testStyle: string;
  /** "validation": the scores are of a stand-in style, and the test style was not looked at. */
  purpose: "test" | "validation";
  seed: number;
  steps: number;
  /** Wall time of training, evaluation left out. */
  seconds: number;
  samplesPerSecond: number;
  styleTop1: number;
  styleTop5: number;
  styleSeenTop1: number;
  styleSeenTop5: number;
  unseenTop1: number;
  unseenTop5: number;
  /** Of test A; test B's is `unseenChance`. */
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
  machine: { processor: string; cores: number; threads: number; device: string; memoryGiB: number };
  finishedAt: string;
}

/** One line of the result table. Undefined where a column does not apply. */
export interface ResultRow {
  name: string;
  choices: number;
  top1: number;
  top5: number;
  top10?: number;
  pixelTop1?: number;
  pixelTop5?: number;
}

/** The lines that the terminal and the report both show. */
export function resultRows(result: DemoResult): ResultRow[] {
  const { metrics, pixelBaseline } = result;
  return [
    {
      name: "A: style never seen, every concept",
      choices: metrics.names,
      ...metrics.style,
      pixelTop1: pixelBaseline.top1,
      pixelTop5: pixelBaseline.top5,
    },
    {
      name: "A: of these, concepts seen in other styles",
      choices: metrics.names,
      ...metrics.styleSeen,
      pixelTop1: pixelBaseline.seenTop1,
      pixelTop5: pixelBaseline.seenTop5,
    },
    { name: "B: concepts never seen, in that style", choices: metrics.unseenNames, ...metrics.unseen },
    { name: "Retrieval, name to image", choices: metrics.names, ...metrics.textToImage },
  ];
}

/** "23.9 %", with a space that does not break. */
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
