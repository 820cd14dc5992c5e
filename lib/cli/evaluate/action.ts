import { invalidArgument } from "../../arguments";
import type { Dataset } from "../../data";
import {
  type RecallScores,
  type RetrievalResult,
  type ZeroShotResult,
  evaluateRetrieval,
  evaluateZeroShot,
} from "../../index";
import type { EvaluateFlags } from "./flags";
import { modelAndRest, withModel } from "../given_model";
import { openGivenClasses, openGivenDataset } from "../given_dataset";
import { percent, printResult } from "../output";
import { countProgress } from "../progress";
import { linesOf, templatesFrom } from "../text_lines";

type Evaluation = ZeroShotResult | RetrievalResult;

/** The class names in the file of `--classnames`. */
async function classesFrom(path: string, { classes = [] }: Dataset): Promise<string[]> {
  const names = await linesOf("--classnames", path);
  if (names.length === classes.length) return names;
  const message = `--classnames: ${path} has ${names.length} lines of text, but there are ${classes.length} classes`;
  throw invalidArgument(message, { path });
}

export async function evaluate(words: readonly string[], flags: EvaluateFlags): Promise<void> {
  const { model: path, rest } = modelAndRest(words, flags);
  if (rest.length > 0) {
    throw invalidArgument(`evaluate takes one model; unexpected: ${rest.join(", ")}`);
  }
  const { valData, imagenetVal, classnames } = flags;
  if (valData === undefined && imagenetVal === undefined) {
    throw invalidArgument("nothing to evaluate on: give --val-data or --imagenet-val");
  }
  // Data are checked before the model, which takes longer to load.
  const images = imagenetVal === undefined ? undefined : await openGivenClasses(imagenetVal);
  const classes = images && classnames !== undefined ? await classesFrom(classnames, images) : undefined;
  const templates = await templatesFrom(flags.templates);
  const pairs = valData === undefined ? undefined : await openGivenDataset(valData, flags);
  await withModel(path, flags, async (model) => {
    const results: Evaluation[] = [];
    const options = () => ({ batchSize: flags.batchSize, onProgress: countProgress("images") });
    if (images) {
      const more = { templates, ...(classes && { classes }) };
      results.push(await evaluateZeroShot(model, images, { ...options(), ...more }));
    }
    if (pairs) results.push(await evaluateRetrieval(model, pairs, options()));
    printResult(results, flags.json, () => results.map(describeEvaluation).join("\n\n"));
  });
}

function describeRecall({ recallAt1, recallAt5, recallAt10, medianRank }: RecallScores): string {
  const shares = [recallAt1, recallAt5, recallAt10].map(percent).join(" / ");
  return `recall@1/5/10 ${shares}, median rank ${medianRank}`;
}

/** Scores and their protocol. */
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
