import {
  EvaClipError,
  evaluateRetrieval,
  evaluateZeroShot,
  type RecallScores,
  type RetrievalResult,
  type ZeroShotResult,
} from "../index";
import type { EvaluateFlags } from "./evaluate_command";
import { loadModel, readLines, templatesFrom } from "./model_actions";
import { modelAndRest } from "./model_argument";
import { openClasses, openDataset } from "./open_dataset";
import { percent, printResult } from "./output";
import { countProgress } from "./progress";

type Evaluation = ZeroShotResult | RetrievalResult;

export async function evaluate(words: readonly string[], flags: EvaluateFlags): Promise<void> {
  const { model: path, rest } = modelAndRest(words, flags);
  if (rest.length > 0) {
    const message = `evaluate takes a model alone, found ${rest.join(", ")} besides`;
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message);
  }
  const { valData, imagenetVal, classnames, batchSize } = flags;
  if (valData === undefined && imagenetVal === undefined) {
    const message = "nothing to evaluate on: give --val-data or --imagenet-val";
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message);
  }
  await using model = await loadModel(path, flags);
  const results: Evaluation[] = [];
  if (imagenetVal !== undefined) {
    const templates = await templatesFrom(flags.templates);
    const classes = classnames === undefined ? undefined : await readLines(classnames);
    const dataset = await openClasses(imagenetVal);
    const options = {
      batchSize,
      templates,
      onProgress: countProgress("images"),
      ...(classes && { classes }),
    };
    results.push(await evaluateZeroShot(model, dataset, options));
  }
  if (valData !== undefined) {
    const dataset = await openDataset(valData, flags);
    results.push(await evaluateRetrieval(model, dataset, { batchSize, onProgress: countProgress("images") }));
  }
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
