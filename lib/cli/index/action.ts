import { existsSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { invalidArgument } from "../../arguments";
import { openDataset } from "../../data";
import { buildIndex, type BuildIndexResult } from "../../search";
import { datasetOptions, noteLeftOut } from "../given_dataset";
import { modelAndRest, withModel } from "../given_model";
import { printResult, say } from "../output";
import { CountBar } from "../progress";
import type { IndexFlags } from "./flags";
import { partOfBuild } from "./part_of_build";

/** Skipped images that are named; more are counted. */
const MOST_NAMED = 20;

/** The folder of a folder, a manifest or shards. */
function rootOf(images: string): string {
  const [first = images] = images.split("::");
  const isFolder = existsSync(first) && statSync(first).isDirectory();
  return resolve(isFolder ? first : dirname(first));
}

export async function index(words: readonly string[], flags: IndexFlags): Promise<void> {
  const { model: path, rest } = modelAndRest(words, flags);
  const [images, ...others] = rest;
  if (images === undefined) throw invalidArgument("missing images: a folder, a manifest or shards");
  if (others.length > 0) throw invalidArgument(`index takes one data set; unexpected: ${others.join(", ")}`);
  const part = partOfBuild();
  // The data set is checked before the model, which takes longer to load.
  const dataset = noteLeftOut(
    images,
    await openDataset(images, { ...datasetOptions(flags), annotations: "all" }),
  );
  if (part) say(`process ${part.rank} of ${part.size}`);
  await withModel(path, flags, async (model) => {
    const bar = new CountBar("images");
    let named = 0;
    try {
      const result = await buildIndex(model, dataset, flags.out, {
        modelPath: existsSync(path) ? resolve(path) : path,
        root: flags.root ?? rootOf(images),
        batchSize: flags.batchSize,
        storage: flags.storage,
        ...(part && { part }),
        onProgress: (done, total) => bar.show(done, total),
        onSkip: ({ reason, message }) => {
          if (named++ < MOST_NAMED) bar.note(`skipped (${reason}): ${message}`);
        },
      });
      bar.stop();
      printResult(result, flags.json, describeBuild);
    } finally {
      bar.stop();
    }
  });
}

/** The result on a few lines. */
export function describeBuild(result: BuildIndexResult): string {
  const { path, size, embedded, unchanged, removed, repeated, skips, missingParts } = result;
  const counts = [`${embedded} embedded`, `${unchanged} unchanged`];
  if (removed > 0) counts.push(`${removed} removed`);
  if (repeated > 0) counts.push(`${repeated} repeated`);
  const lines = [
    size === undefined
      ? `${path}: this part is complete; ${counts.join(", ")}`
      : `${path}: ${size} images; ${counts.join(", ")}`,
  ];
  const reasons = Object.entries(skips).map(([reason, count]) => `${count} ${reason}`);
  if (reasons.length > 0) lines.push(`images that could not be used: ${reasons.join(", ")}`);
  if (missingParts.length > 0)
    lines.push(`the parts of these processes are missing: ${missingParts.join(", ")}`);
  return lines.join("\n");
}
