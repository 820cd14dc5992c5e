import {
  EvaClipError,
  evaluateRetrieval,
  evaluateZeroShot,
  type RecallScores,
  type RetrievalResult,
  type ZeroShotResult,
} from "../index";
import type { Dataset } from "../data";
import type { EvaluateFlags } from "./evaluate_command";
import { loadModel } from "./model_actions";
import { modelAndRest } from "./model_argument";
import { openClasses, openDataset } from "./open_dataset";
import { percent, printResult } from "./output";
import { countProgress } from "./progress";
import { linesOf, templatesFrom } from "./text_lines";

type Evaluation = ZeroShotResult | RetrievalResult;

/** The names that `--classnames` gives the classes of a data set. */
async function classesFrom(path: string, { classes = [] }: Dataset): Promise<string[]> {
  const names = await linesOf("--classnames", path);
  if (names.length === classes.length) return names;
  const message = `--classnames: ${path} has ${names.length} lines of text, and there are ${classes.length} classes`;
  throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message, { path });
}

export async function evaluate(words: readonly string[], flags: EvaluateFlags): Promise<void> {
  const { model: path, rest } = modelAndRest(words, flags);
  if (rest.length > 0) {
    const message = `evaluate takes a model alone, found ${rest.join(", ")} besides`;
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message);
  }
  const { valData, imagenetVal, classnames } = flags;
  if (valData === undefined && imagenetVal === undefined) {
    const message = "nothing to evaluate on: give --val-data or --imagenet-val";
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message);
  }
  // What is wrong with the data is told before a model takes its time to load.
  const images = imagenetVal === undefined ? undefined : await openClasses(imagenetVal);
  const classes = images && classnames !== undefined ? await classesFrom(classnames, images) : undefined;
  const templates = await templatesFrom(flags.templates);
  const pairs = valData === undefined ? undefined : await openDataset(valData, flags);
  await using model = await loadModel(path, flags);
  const results: Evaluation[] = [];
  const options = () => ({ batchSize: flags.batchSize, onProgress: countProgress("images") });
  if (images) {
    const more = { templates, ...(classes && { classes }) };
    results.push(await evaluateZeroShot(model, images, { ...options(), ...more }));
  }
  if (pairs) results.push(await evaluateRetrieval(model, pairs, options()));
  printResult(results, flags.json, () => results.map(describeEvaluation).join("\n\n"));
}

function describeRecall({ recallAt1, recallAt5, recallAt10, medianRank }: RecallScores): string {
  const shares = [recallAt1, recallAt5, recallAt10].map(percent).join(" / ");
  return `recall@1/5/10 ${shares}, median rank ${medianRank}`;
}

/** A score with the protocol that made it. */
export function describeEvaluation(result: Evaluation): string {
  const lines =
    result.task === "zero-shot"
      ? [
          `zero-shot on ${result.images} images: top-1 ${percent(result.top1)}, top-5 ${percent(result.top5)} (chance ${percent(result.chance)})`,
        ]
      : [
          `image to text: ${describeRecall(result.imageToText)}`,
          `text to image: ${describeRecall(result.textToImage)}`,
        ];
  if (result.skipped > 0) {
    const reasons = Object.entries(result.skips).map(([reason, count]) => `${count} ${reason}`);
    lines.push(`samples that could not be used: ${reasons.join(", ")}`);
  }
  return [...lines, `protocol: ${result.protocol}`].join("\n");
}
