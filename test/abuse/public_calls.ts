// One correct call of every public function, for tests that then make mistakes in them.
import { join } from "node:path";
import { openTensors } from "../../lib/io/open_tensors";
import { batchingCalls } from "./batching_calls";
import { programCalls } from "./program_calls";
import * as eva from "./public_names";
import { numberedDataset, png, tar, writeFiles } from "../data/sample_files";
import { recordedCalls } from "./recorded_calls";
import { tinyBatch, tinyConfig, tinyTokenizer, tinyTraining } from "../support/tiny_clip";
import { servingCalls } from "./serving_calls";
import { searchCalls } from "./search_calls";
import { recipe, training } from "./training_calls";

/** What the calls work on; calls that use something up make their own. */
export interface World {
  readonly folder: string;
  readonly device: eva.Device;
  readonly model: eva.EvaClip;
}

/** A function with correct arguments; `after` looks at what it gave, and ends what it began. */
export interface PublicCall {
  readonly target: (...given: never[]) => unknown;
  readonly given: readonly unknown[];
  readonly after?: (result: never) => unknown;
}

export async function makeWorld(folder: string): Promise<World> {
  const image = await png(1, 20);
  await writeFiles(folder, {
    "pairs/a.png": image,
    "pairs/a.txt": "a red square",
    "pairs/b.png": image,
    "pairs/b.txt": "a blue square",
    "classes/red/0.png": image,
    "classes/blue/0.png": image,
    "manifest.csv": "filepath,title\npairs/a.png,red\npairs/b.png,blue\n",
    "shard.tar": await tar([
      ["a.png", image],
      ["a.txt", "a red square"],
    ]),
  });
  const device = await eva.Device.open("cpu", { threads: 1 });
  const model = await eva.EvaClip.create(tinyConfig, { device, init: "fan_in", tokenizer: tinyTokenizer });
  await model.save(join(folder, "model"));
  return { folder, device, model };
}

const pixels = () => new Uint8Array(16 * 16 * 3).fill(90);
const unit = () => Float32Array.from({ length: 16 }, () => 0.25);
const raw = () => ({ data: pixels(), width: 16, height: 16, channels: 3 });
const signal = () => new AbortController().signal;
const dispose = (object: { dispose(): unknown }) => object.dispose();
const drainOne = async (loader: eva.Loader) => {
  try {
    await loader.next();
  } finally {
    await loader.dispose();
  }
};
const allocated = async (w: World) => {
  const parameter = new eva.Parameter("p", [2, 3]);
  parameter.allocate(w.device);
  await parameter.write(new Float32Array(6));
  return parameter;
};
const described = () => new eva.ClipModel(eva.parseClipConfig(tinyConfig), { init: "fan_in" });
const rules = () => {
  const tower = { learningRate: 1e-3, weightDecay: 0.05, layerDecay: 0.9 };
  const parameters = described().parameters();
  return [parameters, { image: tower, text: tower, other: tower }, parameters] as const;
};
const freshModel = async (w: World) => {
  const model = described();
  eva.allocateModel(model, w.device);
  return model;
};
const weights = (w: World) => openTensors(join(w.folder, "model", "model.safetensors"));
const loaderOptions = () => ({
  ...{ batchSize: 2, imageSize: 8, seed: 1, contextLength: 8, textBucket: 16, transform: "evaluation" },
  ...{ tokenizer: tinyTokenizer, text: true, shuffle: false, dropLast: true, epochs: 1, concurrency: 2 },
  ...{ prefetch: 1, maxSkips: 3, signal: signal() },
});
type Make = (w: World) => PublicCall | Promise<PublicCall>;

/** By the name of the function; a method's is `Class.method`. */
export const publicCalls: Readonly<Record<string, Make>> = {
  inferConfig: async (w) => {
    const source = await weights(w);
    const layout = eva.detectLayout(source.tensors.keys());
    return { target: eva.inferConfig, given: [source.tensors, layout, {}, "model"] };
  },
  loadWeights: async (w) => ({
    target: eva.loadWeights,
    given: [await freshModel(w), await weights(w), { towers: "both", skip: [], signal: signal() }],
  }),
  detectLayout: async (w) => ({
    target: eva.detectLayout,
    given: [[...(await weights(w)).tensors.keys()], "model"],
  }),
  resolveConfig: async (w) => {
    const source = await weights(w);
    const layout = eva.detectLayout(source.tensors.keys());
    return { target: eva.resolveConfig, given: [source, layout, { quickGelu: false }] };
  },
  writeWeights: (w) => ({
    target: eva.writeWeights,
    given: [join(w.folder, "written"), w.model.model, { layout: "eva_clip", dtype: "f16", ropeTables: true }],
  }),
  spec: () => ({ target: eva.spec, given: ["f32", [2, 3]] }),
  centerCrop: () => ({ target: eva.centerCrop, given: [30, 20, 16] }),
  randomResizedCrop: () => ({ target: eva.randomResizedCrop, given: [{}, { scale: [0.5, 1] }] }),
  decodeImage: async () => ({ target: eva.decodeImage, given: [await png(1, 20), 16] }),
  preprocess: () => ({ target: eva.preprocess, given: [raw(), 16, eva.CLIP_PREPROCESSING] }),
  openClassFolder: (w) => ({
    target: eva.openClassFolder,
    given: [join(w.folder, "classes"), { classNames: { red: "crimson" } }],
  }),
  openImageFolder: (w) => ({ target: eva.openImageFolder, given: [join(w.folder, "pairs")] }),
  indexedDataset: () => ({
    target: eva.indexedDataset,
    given: [
      {
        size: 2,
        at: (i: number) => ({ key: `${i}`, read: async () => ({ image: raw(), captions: ["a"] }) }),
      },
    ],
  }),
  createLoader: () => ({
    target: eva.createLoader,
    given: [numberedDataset(4), loaderOptions()],
    after: drainOne as never,
  }),
  CounterRandom: () => ({
    target: ((...key: number[]) => new eva.CounterRandom(...key).below(3)) as never,
    given: [1, 2],
  }),
  permute: () => ({ target: eva.permute, given: [1, 10, 7] }),
  isEvaClipError: () => ({ target: eva.isEvaClipError, given: [new Error("e"), "ERR_EVACLIP_IO"] }),
  openManifest: (w) => ({
    target: eva.openManifest,
    given: [join(w.folder, "manifest.csv"), { imageKey: "filepath", captionKey: "title", separator: "," }],
  }),
  openDataset: (w) => ({
    target: eva.openDataset,
    given: [join(w.folder, "manifest.csv"), { type: "csv", manifest: { separator: "," } }],
  }),
  datasetTypeOf: (w) => ({ target: eva.datasetTypeOf, given: [join(w.folder, "pairs"), { type: "auto" }] }),
  packPadded: () => ({ target: eva.packPadded, given: [eva.tokenize("a cat", 8), 8, 16] }),
  packText: () => ({
    target: eva.packText,
    given: [
      [
        [30, 5, 31],
        [30, 31],
      ],
      16,
    ],
  }),
  "ClipTokenizer.encode": () => {
    const tokenizer = new eva.ClipTokenizer();
    return { target: tokenizer.encode.bind(tokenizer), given: ["a cat", 16] };
  },
  "ClipTokenizer.decode": () => {
    const tokenizer = new eva.ClipTokenizer();
    return { target: tokenizer.decode.bind(tokenizer), given: [[49406, 320, 2368, 49407]] };
  },
  tokenize: () => ({ target: eva.tokenize, given: [["a cat", "a dog"], 77] }),
  openWebDataset: (w) => ({
    target: eva.openWebDataset,
    given: [join(w.folder, "shard.tar"), { imageKey: "png", textKey: "txt" }],
  }),
  "Device.open": () => ({
    target: eva.Device.open.bind(eva.Device),
    given: ["cpu", { threads: 1, instructionSet: "v2" }],
    after: dispose as never,
  }),
  evaluateRetrieval: (w) => ({
    target: eva.evaluateRetrieval,
    given: [w.model, numberedDataset(3), { batchSize: 2, signal: signal() }],
  }),
  evaluateZeroShot: async (w) => ({
    target: eva.evaluateZeroShot,
    given: [
      w.model,
      await eva.openClassFolder(join(w.folder, "classes")),
      { batchSize: 2, templates: ["a {}"] },
    ],
  }),
  fillTemplates: () => ({ target: eva.fillTemplates, given: [["a {}", "the {}"], "dog"] }),
  HostTensor: () => ({
    target: ((...given: ConstructorParameters<typeof eva.HostTensor>) =>
      new eva.HostTensor(...given)) as never,
    given: ["f32", [2, 3], new Float32Array(6)],
  }),
  parseClipConfig: () => ({ target: eva.parseClipConfig, given: [tinyConfig] }),
  ClipModel: () => ({
    target: ((...given: ConstructorParameters<typeof eva.ClipModel>) => new eva.ClipModel(...given)) as never,
    given: [eva.parseClipConfig(tinyConfig), { type: "f32", init: "fan_in" }],
  }),
  knownModels: () => ({ target: eva.knownModels, given: [] }),
  modelConfig: () => ({ target: eva.modelConfig, given: ["EVA02-CLIP-B-16"] }),
  initializeParameters: async (w) => ({
    target: eva.initializeParameters,
    given: [w.device, (await freshModel(w)).parameters(), { seed: 1 }],
  }),
  AdamW: () => ({
    target: ((...given: ConstructorParameters<typeof eva.AdamW>) => new eva.AdamW(...given)) as never,
    given: [eva.parameterRules(...rules()), { beta1: 0.9, beta2: 0.98, eps: 1e-6, clipNorm: 1 }],
  }),
  Lamb: () => ({
    target: ((...given: ConstructorParameters<typeof eva.Lamb>) => new eva.Lamb(...given)) as never,
    given: [eva.parameterRules(...rules()), { beta1: 0.9, beta2: 0.98, eps: 1e-6, variant: "apex" }],
  }),
  "Optimizer.allocate": (w) => {
    const optimizer = new eva.AdamW(eva.parameterRules(...rules()));
    return { target: optimizer.allocate.bind(optimizer), given: [w.device] };
  },
  parameterRules: () => ({ target: eva.parameterRules, given: rules() }),
  scheduleFactor: () => ({
    target: eva.scheduleFactor,
    given: [3, { warmupSteps: 2, totalSteps: 10, kind: "cosine" }],
  }),
  warmupCosine: () => ({ target: eva.warmupCosine, given: [3, { warmupSteps: 2, totalSteps: 10 }] }),
  unlockedParameters: () => ({
    target: eva.unlockedParameters,
    given: [described().parameters(), { image: { unlockedGroups: 1 } }],
  }),
  Parameter: () => ({
    target: ((...given: ConstructorParameters<typeof eva.Parameter>) => new eva.Parameter(...given)) as never,
    given: ["p", [2, 3], { kind: "normal", std: 0.5 }, [2, 4]],
  }),
  "Parameter.allocate": (w) => {
    const parameter = new eva.Parameter("p", [2, 3]);
    return { target: parameter.allocate.bind(parameter), given: [w.device, "bf16"] };
  },
  "Parameter.write": async (w) => {
    const parameter = await allocated(w);
    return { target: parameter.write.bind(parameter), given: [new Float32Array(6)] };
  },
  "Parameter.read": async (w) => ({ target: (await allocated(w)).read.bind(await allocated(w)), given: [] }),
  "EvaClip.create": (w) => ({
    target: eva.EvaClip.create.bind(eva.EvaClip) as never,
    given: [
      tinyConfig,
      { device: w.device, dtype: "f32", seed: 1, init: "fan_in", tokenizer: tinyTokenizer },
    ],
    after: dispose as never,
  }),
  "EvaClip.load": (w) => ({
    target: eva.EvaClip.load.bind(eva.EvaClip) as never,
    given: [
      join(w.folder, "model"),
      {
        ...{ device: w.device, dtype: "f32", tokenizer: tinyTokenizer, quickGelu: false },
        ...{ preprocessing: { ...eva.CLIP_PREPROCESSING }, onDownload: () => undefined },
      },
    ],
    after: dispose as never,
  }),
  "EvaClip.encodeImage": (w) => ({
    target: w.model.encodeImage.bind(w.model) as never,
    given: [[raw()], { normalize: true, batchSize: 2, signal: signal() }],
  }),
  "EvaClip.encodeImage (file)": (w) => ({
    target: w.model.encodeImage.bind(w.model) as never,
    given: [join(w.folder, "pairs", "a.png")],
  }),
  "EvaClip.encodeText": (w) => ({
    target: w.model.encodeText.bind(w.model) as never,
    given: [["abc", "bcd"], { normalize: true, batchSize: 2, signal: signal() }],
  }),
  "EvaClip.encodePixels": (w) => ({
    target: w.model.encodePixels.bind(w.model),
    given: [pixels(), 1, { normalize: true, batchSize: 2 }],
  }),
  "EvaClip.encodeTokens": (w) => ({
    target: w.model.encodeTokens.bind(w.model),
    given: [Int32Array.of(30, 4, 31, 0), 1, { normalize: true }],
  }),
  "EvaClip.similarity": (w) => ({
    target: w.model.similarity.bind(w.model) as never,
    given: [unit(), [unit(), unit()], { signal: signal() }],
  }),
  "EvaClip.classify": (w) => ({
    target: w.model.classify.bind(w.model) as never,
    given: [[raw()], ["a", "b"], { templates: ["a {}"], topK: 1, signal: signal() }],
  }),
  "EvaClip.classifier": (w) => ({
    target: w.model.classifier.bind(w.model),
    given: [["a", "b"], { templates: ["a {}"], signal: signal() }],
    after: dispose as never,
  }),
  "Classifier.classify": async (w) => {
    const classifier = await w.model.classifier(["a", "b"]);
    return {
      target: classifier.classify.bind(classifier) as never,
      given: [[raw()], { topK: 1, batchSize: 2, signal: signal() }],
    };
  },
  "EvaClip.save": (w) => ({
    target: w.model.save.bind(w.model),
    given: [join(w.folder, "saved"), { dtype: "bf16", signal: signal() }],
  }),
  "EvaClip.memoryInfo": (w) => ({ target: w.model.memoryInfo.bind(w.model), given: [] }),
  batchesByStep: () => ({ target: eva.batchesByStep, given: [tinyBatch] }),
  batchesOf: () => ({ target: eva.batchesOf, given: [numberedDataset(4), loaderOptions()] }),
  readCheckpoint: async (w) => {
    const { model, optimizer } = await tinyTraining(w.device);
    await optimizer.allocate(w.device);
    const state = { version: 1, step: 1, samplesSeen: 8, seed: 1, cursor: null } as const;
    const groups = { model: model.parameters(), optimizer: optimizer.state() };
    const path = await eva.writeCheckpoint(join(w.folder, "checkpoints"), {
      config: model.config,
      groups,
      state,
    });
    return { target: eva.readCheckpoint, given: [path, groups, { ignore: [] }] };
  },
  writeCheckpoint: async (w) => {
    const { model, optimizer } = await tinyTraining(w.device);
    await optimizer.allocate(w.device);
    const state = { version: 1, step: 1, samplesSeen: 8, seed: 1, cursor: null };
    return {
      target: eva.writeCheckpoint,
      given: [
        join(w.folder, "checkpoints"),
        { config: model.config, groups: { model: model.parameters(), optimizer: optimizer.state() }, state },
        { keepLast: 1 },
      ],
    };
  },
  movingAverage: () => ({ target: eva.movingAverage, given: [described().parameters(), { decay: 0.99 }] }),
  allocateModel: (w) => ({ target: eva.allocateModel, given: [described(), w.device, { dtype: "f32" }] }),
  initializeModel: (w) => ({ target: eva.initializeModel, given: [described(), w.device, { seed: 1 }] }),
  loadPretrained: async (w) => ({
    target: eva.loadPretrained,
    given: [
      await freshModel(w),
      { model: { path: join(w.folder, "model") } },
      { device: w.device, seed: 1, signal: signal() },
    ],
  }),
  train: training,
  trainRecipe: recipe,
  ...programCalls,
  ...batchingCalls,
  ...servingCalls,
  ...searchCalls,
};

/** Public names without a function of their own to call: constants, and classes whose instances others give. */
const NOT_CALLED = new Set([
  ...["layoutNames", "OPENAI_IMAGENET_TEMPLATES", "SIMPLE_IMAGENET_TEMPLATES", "TOWER_SKIP_LIST"],
  ...["ops", "CLIP_PREPROCESSING", "SIGLIP_LOGITS"],
  // train() calls them, with what it has recorded.
  ...["clipObjective", "siglipObjective", "clampLogitScale"],
  // Layers check nothing that Parameter and ops do not; the registry of towers is the process's.
  ...["Module", "Scope", "Linear", "LayerNorm", "RmsNorm", "Mlp", "SelfAttention", "ClipAttention", "Block"],
  ...["PatchEmbedding", "ImageTower", "imageTowers", "registerImageTower", "listDevices"],
  // Tested in test/weights and test/io.
  ...["openWeights", "readFloat32"],
  ...["EvaClipError", "Optimizer", "TrainingRun", "RecipeRun", "Loader", "SampleError"],
]);

const { ops } = eva;

/** Public functions that no call covers. */
export function uncovered(): string[] {
  const covered = [...Object.keys(publicCalls), ...Object.keys(recordedCalls)];
  const has = (name: string) => covered.some((key) => key === name || key.startsWith(`${name}.`));
  const names = Object.keys(eva).filter((name) => !NOT_CALLED.has(name));
  return [
    ...names,
    ...Object.keys(ops)
      .filter((name) => typeof ops[name as never] === "function")
      .map((name) => `ops.${name}`),
  ].filter((name) => !has(name));
}
