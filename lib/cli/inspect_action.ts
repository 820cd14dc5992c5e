import { dirname, join } from "node:path";
import { invalidArgument, shortened } from "../arguments";
import { publishedImageTowersOf, publishedNamesOf } from "../weights/config/infer_config";
import { isDerived } from "../weights/layouts/layout";
import { type ClipConfig, EvaClipError, modelConfig } from "../index";
import { ClipModel } from "../train";
import {
  type ConfigStatement,
  inferConfig,
  type LayoutName,
  detectLayout,
  resolveConfig,
  type StoredLayout,
} from "../weights";
import { exists } from "../io/model_path";
import type { TensorSource } from "../io/tensor_source";
import { parameterCounts } from "../models/model_cost";
import { readTrainerState, STATE_FILE } from "../train/checkpoint";
import { openWeights } from "../weights/open_weights";
import type { InspectFlags } from "./inspect_command";
import { statementFrom } from "./model_argument";
import { columns, count, printResult } from "./output";

/** What a file says it is. */
interface Identity {
  layout?: LayoutName;
  /** The published models that it may be. */
  models: readonly string[];
  /** Of a file that is no whole model: the published models with this image tower. */
  imageTowerOf?: readonly string[];
  config?: ClipConfig;
  imageParameters?: number;
  textParameters?: number;
  /** Why its layout or its configuration is not known. */
  unknown?: string;
}

interface Inspection extends Identity {
  /** Of a published model that was asked for by its name. */
  name?: string;
  path?: string;
  format?: TensorSource["format"];
  step?: number;
  parameters: number;
  /** Tensors of each type. */
  dtypes: Record<string, number>;
  tensors: { name: string; dtype: string; shape: readonly number[] }[];
  metadata?: Readonly<Record<string, string>>;
}

type Tensors = Inspection["tensors"];

/** The elements of the tensors that are not derived from a configuration. */
function sizeOf(tensors: Tensors): number {
  const weights = tensors.filter(({ name }) => !isDerived(name));
  return weights.reduce((sum, { shape }) => sum + shape.reduce((size, dim) => size * dim, 1), 0);
}

function countTypes(tensors: Tensors): Record<string, number> {
  const found: Record<string, number> = {};
  for (const { dtype } of tensors) found[dtype] = (found[dtype] ?? 0) + 1;
  return found;
}

/** What a known configuration adds. */
function withConfig(config: ClipConfig): Omit<Identity, "layout" | "unknown"> {
  const { image, text } = parameterCounts(new ClipModel(config));
  return { models: publishedNamesOf(config), config, imageParameters: image, textParameters: text };
}

const isCode = (error: unknown, code: string): error is EvaClipError =>
  error instanceof EvaClipError && error.code === code;

/** What an inference gives; undefined where the file does not tell. */
function told<T>(infer: () => T): T | undefined {
  try {
    return infer();
  } catch (error) {
    if (isCode(error, "ERR_EVACLIP_INVALID_CONFIG")) return undefined;
    throw error;
  }
}

/** What can be told of a file whose configuration is not known: a field is untold, or a tower is not there. */
function partialIdentity(source: TensorSource, stored: StoredLayout): Omit<Identity, "layout" | "unknown"> {
  const { tensors, path } = source;
  const models = [false, true].flatMap(
    (quickGelu) => told(() => inferConfig(tensors, stored, { quick_gelu: quickGelu }).models) ?? [],
  );
  if (models.length > 0) return { models };
  const imageTowerOf = told(() => publishedImageTowersOf(tensors, stored, path));
  return { models, ...(imageTowerOf && { imageTowerOf }) };
}

async function identify(source: TensorSource, statement: ConfigStatement): Promise<Identity> {
  let stored: StoredLayout;
  try {
    stored = detectLayout(source.tensors.keys(), source.path);
  } catch (error) {
    if (!isCode(error, "ERR_EVACLIP_CHECKPOINT_MISMATCH")) throw error;
    return { models: [], unknown: error.message };
  }
  const layout = stored.layout.name;
  try {
    return { layout, ...withConfig(await resolveConfig(source, stored, statement)) };
  } catch (error) {
    if (!isCode(error, "ERR_EVACLIP_INVALID_CONFIG")) throw error;
    return { layout, ...partialIdentity(source, stored), unknown: error.message };
  }
}

/** A file of weights, or a folder that holds one. */
async function inspectFile(path: string, flags: InspectFlags): Promise<Inspection> {
  const { ema, ...statement } = await statementFrom(flags);
  await using source = await openWeights(path, { ema });
  const tensors = [...source.tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const folder = dirname(source.path);
  const isCheckpoint = await exists(join(folder, STATE_FILE));
  return {
    path: source.path,
    format: source.format,
    ...(isCheckpoint && { step: (await readTrainerState(folder)).step }),
    ...(await identify(source, statement)),
    parameters: sizeOf(tensors),
    dtypes: countTypes(tensors),
    tensors,
    metadata: source.metadata,
  };
}

/** A published model by its name. */
function inspectModel(name: string): Inspection {
  const config = modelConfig(name);
  const model = new ClipModel(config);
  const tensors = model.parameters().map(({ name: key, shape }) => ({ name: key, dtype: "F32", shape }));
  return { name, ...withConfig(config), parameters: sizeOf(tensors), dtypes: countTypes(tensors), tensors };
}

/** Names of models have one slash at most, and no such ending. */
const LOOKS_LIKE_FILE = /\.(safetensors|json|pt|pth|bin|ckpt)$|^[.~]?\/|^\.\.|\/.*\/|\/$/;

async function inspectAny(target: string, flags: InspectFlags): Promise<Inspection> {
  if ((await exists(target)) || LOOKS_LIKE_FILE.test(target)) return inspectFile(target, flags);
  try {
    const found = inspectModel(target);
    const { config, quickGelu, ema } = flags;
    if ([config, quickGelu, ema].every((given) => given === undefined)) return found;
    throw invalidArgument(
      `--config, --quick-gelu and --ema are for files of weights: ${target} is a published model`,
    );
  } catch (error) {
    if (!isCode(error, "ERR_EVACLIP_UNKNOWN_MODEL")) throw error;
    const message = `${shortened(target)} does not exist, and is no published model either: ${error.message}`;
    throw new EvaClipError(error.code, message, error.details);
  }
}

function describe(inspection: Inspection): string {
  const { path, format, layout, models, step, parameters, imageParameters, textParameters } = inspection;
  const { imageTowerOf, dtypes, tensors, config, metadata = {}, unknown } = inspection;
  const facts: [string, unknown][] = [];
  const tell = (name: string, value: unknown) => {
    if (value !== undefined) facts.push([name, value]);
  };
  tell("file", path);
  tell("format", format);
  tell("layout", layout);
  tell("model", models.length > 0 ? models.join(" or ") : "none of those published");
  tell("image tower of", imageTowerOf && (imageTowerOf.join(" or ") || "none of those published"));
  tell("unknown", unknown);
  tell("step", step);
  tell("parameters", `${parameters} (${count(parameters)})`);
  tell("image tower", imageParameters && count(imageParameters));
  tell("text tower", textParameters && count(textParameters));
  const types = Object.entries(dtypes).map(([dtype, number]) => `${number} of ${dtype}`);
  tell("tensors", types.join(", "));
  for (const [key, value] of Object.entries(metadata)) tell(`metadata ${key}`, value);
  tell("config", config && JSON.stringify(config));
  const list = tensors.map(({ name, dtype, shape }) => [name, `${dtype} [${shape.join(", ")}]`] as const);
  return `${columns(facts)}\n\n${columns(list)}`;
}

export async function inspect(target: string, flags: InspectFlags): Promise<void> {
  printResult(await inspectAny(target, flags), flags.json, describe);
}
