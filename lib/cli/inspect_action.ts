import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { publishedNamesOf } from "../checkpoints/infer_config";
import { isDerived } from "../checkpoints/layout";
import {
  type ClipConfig,
  ClipModel,
  EvaClipError,
  inferConfig,
  type LayoutName,
  modelConfig,
  recogniseLayout,
  resolveConfig,
  type StoredLayout,
} from "../index";
import type { TensorSource } from "../io/tensor_source";
import { parameterCounts } from "../models/model_cost";
import { readTrainerState, STATE_FILE } from "../train/checkpoint";
import { openWeights } from "../train/open_weights";
import type { InspectFlags } from "./inspect_command";
import { statementFrom } from "./model_argument";
import { columns, count, printResult } from "./output";

/** What a file says it is. */
interface Identity {
  layout?: LayoutName;
  /** The published models that it may be. */
  models: readonly string[];
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

/** Of a file that does not tell its activation: the published models with either. */
function candidates(source: TensorSource, stored: StoredLayout): string[] {
  return [false, true].flatMap((quickGelu) => {
    try {
      return inferConfig(source.tensors, stored, { quick_gelu: quickGelu }).models;
    } catch {
      return [];
    }
  });
}

const isCode = (error: unknown, code: string): error is EvaClipError =>
  error instanceof EvaClipError && error.code === code;

async function identify(source: TensorSource, flags: InspectFlags): Promise<Identity> {
  let stored: StoredLayout;
  try {
    stored = recogniseLayout(source.tensors.keys(), source.path);
  } catch (error) {
    if (!isCode(error, "ERR_EVACLIP_CHECKPOINT_MISMATCH")) throw error;
    return { models: [], unknown: error.message };
  }
  const layout = stored.layout.name;
  try {
    return { layout, ...withConfig(await resolveConfig(source, stored, await statementFrom(flags))) };
  } catch (error) {
    if (!isCode(error, "ERR_EVACLIP_INVALID_CONFIG")) throw error;
    return { layout, models: candidates(source, stored), unknown: error.message };
  }
}

/** A file of weights, or a folder that holds one. */
async function inspectFile(path: string, flags: InspectFlags): Promise<Inspection> {
  await using source = await openWeights(path);
  const tensors = [...source.tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const folder = dirname(source.path);
  const isCheckpoint = await stat(join(folder, STATE_FILE)).then(Boolean, () => false);
  return {
    path: source.path,
    format: source.format,
    ...(isCheckpoint && { step: (await readTrainerState(folder)).step }),
    ...(await identify(source, flags)),
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

const LOOKS_LIKE_FILE = /\.(safetensors|json|pt|pth|bin)$/;

async function inspectAny(target: string, flags: InspectFlags): Promise<Inspection> {
  const isThere = await stat(target).then(Boolean, () => false);
  return isThere || LOOKS_LIKE_FILE.test(target) ? inspectFile(target, flags) : inspectModel(target);
}

function describe(inspection: Inspection): string {
  const { path, format, layout, models, step, parameters, imageParameters, textParameters } = inspection;
  const { dtypes, tensors, config, metadata = {}, unknown } = inspection;
  const facts: [string, unknown][] = [];
  const tell = (name: string, value: unknown) => {
    if (value !== undefined) facts.push([name, value]);
  };
  tell("file", path);
  tell("format", format);
  tell("layout", layout);
  tell("model", models.length > 0 ? models.join(" or ") : "none of those published");
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
