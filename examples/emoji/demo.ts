import { rm } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { Device, EvaClipError, parseClipConfig } from "eva-clip";
import { ClipTokenizer } from "eva-clip/data";
import { ClipModel } from "eva-clip/train";
import { type DataSet, loadDataSet } from "./data_set";
import { type DemoOptions, parseOptions } from "./options";
import { cachedPixelBaseline, type PixelBaseline } from "./pixel_baseline";
import { TrainingProgress } from "./progress";
import { CONTEXT_LENGTH, modelConfig, type Recipe, recipeFor } from "./recipe";
import { type Example, type History, styleTitle } from "./report/sections";
import { writeReport } from "./report/write_report";
import { assembleResult, type DemoResult } from "./result";
import { Sampler, trainingTexts } from "./sampler";
import { type Split, splitDataSet } from "./split";
import { exampleLines, resultTable } from "./table";
import { testCosines } from "./tester";
import { parameterCounts, startTraining } from "./trainer";
import { Vocabulary } from "./vocabulary";
import { replaceFile } from "./write_file";

const CACHE = resolve(__dirname, "../../runs/cache/emoji");
const EXAMPLES_IN_TERMINAL = 8;

/** The data, split, recipe and vocabulary of a run. */
interface Experiment {
  data: DataSet;
  split: Split;
  pixelBaseline: PixelBaseline;
  recipe: Recipe;
  vocabulary: Vocabulary;
}

/** Trains, tests, and writes `result.json` and `report.html`. */
async function runDemo(options: DemoOptions, command: string): Promise<void> {
  const device = await Device.open(options.device, { threads: options.threads });
  try {
    const experiment = await prepareExperiment(options, device);
    const { split, recipe, vocabulary } = experiment;
    const config = modelConfig(vocabulary.vocabularySize);
    const model = new ClipModel(parseClipConfig(config), { precision: recipe.precision, init: "fan_in" });
    const { history, seconds } = await trainModel(device, model, experiment, options.out);
    const cosines = await testCosines(device, model, experiment.data, split, vocabulary);
    const facts = { ...experiment, config, cosines, seconds, command, device: device.info };
    const { vocabularySize } = vocabulary;
    const result = assembleResult({ ...facts, vocabularySize, parameters: parameterCounts(model) });
    const scored = { ...experiment, cosines, scale: history.scale.at(-1)! };
    const examples = await writeReport(options.out, result, scored, history, recipe.batch);
    announce(result, examples, options.out);
  } finally {
    await device.dispose();
  }
}

async function prepareExperiment(options: DemoOptions, device: Device): Promise<Experiment> {
  const data = await loadDataSet(CACHE, options.allStyles, (style) => say(`Rasterizing ${style.title}`));
  const split = splitDataSet(data, options.testStyle, options.validate ? "validation" : "test");
  say(describe(split));
  const pixelBaseline = await cachedPixelBaseline(device, data, split, CACHE);
  const vocabulary = Vocabulary.of(trainingTexts(data, split.train), new ClipTokenizer(), CONTEXT_LENGTH);
  return { data, split, pixelBaseline, recipe: recipeFor(options), vocabulary };
}

/** Trains the model under a progress bar. */
async function trainModel(
  device: Device,
  model: ClipModel,
  { data, split, recipe, vocabulary }: Experiment,
  out: string,
): Promise<{ history: History; seconds: number }> {
  const sampler = new Sampler(data, split.train, recipe);
  const history: History = { loss: [], accuracy: [], learningRate: [], scale: [] };
  await startFolder(vocabulary, out);
  const run = await startTraining(device, model, sampler, vocabulary, recipe, join(out, "checkpoints"));
  const progress = new TrainingProgress(recipe.steps, recipe.batch, process.stderr);
  try {
    for await (const event of run) {
      if (event.type !== "step") continue;
      const { loss, imageAccuracy: accuracy = 0 } = event; // CLIP's objective reports it
      history.loss.push(loss);
      history.accuracy.push(accuracy);
      history.learningRate.push(event.learningRate);
      history.scale.push(event.logitScale);
      progress.update({ step: event.step, loss, accuracy });
    }
  } finally {
    progress.finish();
  }
  return { history, seconds: (await run.result).seconds };
}

/** Removes the checkpoints of an earlier run, and saves the vocabulary of this one. */
async function startFolder({ pieces, contextLength }: Vocabulary, out: string): Promise<void> {
  await rm(join(out, "checkpoints"), { recursive: true, force: true });
  await replaceFile(join(out, "vocabulary.json"), JSON.stringify({ contextLength, pieces }));
}

function describe({ purpose, style, train, test, trainingStyles }: Split): string {
  const images = train.reduce((total, { drawings }) => total + drawings.length, 0);
  const unseen = test.filter((item) => item.unseen).length;
  return (
    `Training on ${images} drawings of ${train.length} concepts in ${trainingStyles.length} styles; ` +
    `${purpose} on ${test.length} drawings by ${styleTitle(style)}, ${unseen} of unseen concepts`
  );
}

function announce(result: DemoResult, examples: readonly Example[], out: string): void {
  const [seen, unseen] = [examples.filter((e) => !e.unseen), examples.filter((e) => e.unseen)];
  const half = EXAMPLES_IN_TERMINAL / 2;
  process.stdout.write(
    [
      "",
      `${styleTitle(result.testStyle)}, a style not trained on (${result.purpose}, seed ${result.seed}):`,
      "",
      resultTable(result),
      "",
      "Some images and the model's predictions:",
      exampleLines([...seen.slice(0, half), ...unseen.slice(0, half)]),
      "",
      ...["result.json", "report.html", "examples.svg"].map((file) =>
        relative(process.cwd(), join(out, file)),
      ),
      "",
    ].join("\n"),
  );
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

async function main(argv: readonly string[]): Promise<void> {
  try {
    await runDemo(
      parseOptions(argv),
      ["npm run demo", ...(argv.length > 0 ? ["--", ...argv] : [])].join(" "),
    );
  } catch (error) {
    if (!(error instanceof EvaClipError)) throw error;
    say(`${error.code}: ${error.message}`);
    process.exitCode = 1;
  }
}

void main(process.argv.slice(2));
