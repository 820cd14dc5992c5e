import { existsSync, statSync } from "node:fs";
import { invalidArgument, shortened } from "../arguments";
import { schemeOf } from "../image/image_input";
import { type Classification, EvaClip, EvaClipError } from "../index";
import { modelAndRest, statementFrom } from "./model_argument";
import type { ClassifyFlags, EncodeFlags, ModelFlags } from "./model_commands";
import { percent, printResult, say } from "./output";
import { linesOf, templatesFrom } from "./text_lines";

/** Loads the model a command was given, and says where it runs. */
export async function loadModel(path: string, flags: ModelFlags): Promise<EvaClip> {
  const { device, threads, precision } = flags;
  const model = await EvaClip.load(path, {
    device,
    precision: precision,
    ...(threads !== undefined && { threads }),
    ...(await statementFrom(flags)),
  });
  const why = model.fallbackReason === undefined ? "" : ` (cuda: ${model.fallbackReason})`;
  say(`${path}: ${settingOf(model)}${why}`);
  return model;
}

/** What a model computes in, and where. */
function settingOf({ precision, device }: EvaClip): string {
  return `${precision} on ${device}`;
}

/** The names of files among the words that a flag took. */
function filesAmong(words: readonly string[]): string[] {
  return words.filter((word) => existsSync(word) && statSync(word).isFile());
}

/** Says so when what a flag took looks like images that were meant to be arguments. */
function noteFiles(flag: string, words: readonly string[]): void {
  const files = filesAmong(words);
  if (files.length === 0) return;
  say(`note: ${flag} took ${files.join(", ")} as text; give images before ${flag}, or after --`);
}

/** Refuses images that would have to be fetched. */
function expectLocal(images: readonly string[]): void {
  const remote = images.find((image) => !["file", "data", undefined].includes(schemeOf(image)));
  if (remote === undefined) return;
  throw invalidArgument(`${shortened(remote)} is a URL; images are read from local files: download it first`);
}

interface Embedding {
  kind: "image" | "text";
  input: string;
  embedding: number[];
}

export async function encode(words: readonly string[], flags: EncodeFlags): Promise<void> {
  const { model: path, rest: images } = modelAndRest(words, flags);
  expectLocal(images);
  if (images.length + flags.text.length === 0) {
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", "nothing to encode: give images or --text");
  }
  noteFiles("--text", flags.text);
  await using model = await loadModel(path, flags);
  const { batchSize } = flags;
  const rows = [
    ...(await model.encodeImage(images, { batchSize })),
    ...(await model.encodeText(flags.text, { batchSize })),
  ];
  const embeddings = [...images, ...flags.text].map((input, i): Embedding => {
    const kind = i < images.length ? "image" : "text";
    return { kind, input, embedding: Array.from(rows[i]!) };
  });
  const result = { embedDim: model.embedDim, setting: settingOf(model), embeddings };
  printResult(result, flags.json, () =>
    embeddings.map(({ input, embedding }) => `${input}\t${embedding.join(" ")}`).join("\n"),
  );
}

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
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `nothing to classify: ${why}`);
  }
  const fromFile = flags.labelsFile === undefined ? [] : await linesOf("--labels-file", flags.labelsFile);
  const labels = [...flags.labels, ...fromFile];
  if (labels.length === 0) {
    throw new EvaClipError(
      "ERR_EVACLIP_INVALID_ARGUMENT",
      "nothing to choose from: give --labels or --labels-file",
    );
  }
  noteFiles("--labels", flags.labels);
  const templates = flags.templates === undefined ? undefined : await templatesFrom(flags.templates);
  await using model = await loadModel(path, flags);
  const found = await model.classify(images, labels, { topK: flags.topK, ...(templates && { templates }) });
  const results = images.map((image, i): ClassifiedImage => ({ image, labels: found[i]! }));
  printResult({ setting: settingOf(model), results }, flags.json, () => results.map(describe).join("\n"));
}

function describe({ image, labels }: ClassifiedImage): string {
  const lines = labels.map(({ label, probability }) => `  ${percent(probability).padStart(8)}  ${label}`);
  return [image, ...lines].join("\n");
}
