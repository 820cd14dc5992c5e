import { invalidArgument } from "../../arguments";
import type { Classification } from "../../index";
import { expectLocal, filesAmong, noteFiles } from "../given_images";
import { modelAndRest, settingOf, withModel } from "../given_model";
import { percent, printResult } from "../output";
import { linesOf, templatesFrom } from "../text_lines";
import type { ClassifyFlags } from "./flags";

interface ClassifiedImage {
  image: string;
  labels: Classification[];
}

export async function classify(words: readonly string[], flags: ClassifyFlags): Promise<void> {
  const { model: path, rest: images } = modelAndRest(words, flags);
  expectLocal(images);
  if (images.length === 0) {
    const files = filesAmong(flags.labels);
    const why =
      files.length === 0
        ? "give images"
        : `--labels took ${files.join(", ")} as a label; give images before --labels, or after --`;
    throw invalidArgument(`nothing to classify: ${why}`);
  }
  const fromFile = flags.labelsFile === undefined ? [] : await linesOf("--labels-file", flags.labelsFile);
  const labels = [...flags.labels, ...fromFile];
  if (labels.length === 0) {
    throw invalidArgument("no labels: give --labels or --labels-file");
  }
  noteFiles("--labels", flags.labels);
  const templates = flags.templates === undefined ? undefined : await templatesFrom(flags.templates);
  await withModel(path, flags, async (model) => {
    const options = { topK: flags.topK, ...(templates && { templates }) };
    const found = await model.classify(images, labels, options);
    const results = images.map((image, i): ClassifiedImage => ({ image, labels: found[i]! }));
    printResult({ setting: settingOf(model), results }, flags.json, () => results.map(describe).join("\n"));
  });
}

function describe({ image, labels }: ClassifiedImage): string {
  const lines = labels.map(({ label, probability }) => `  ${percent(probability).padStart(8)}  ${label}`);
  return [image, ...lines].join("\n");
}
