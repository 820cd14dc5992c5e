import { dirname, join } from "node:path";
import { invalidArgument } from "../../arguments";
import { publishedImageTowersOf, publishedNamesOf } from "../../weights/config/infer_config";
import { isDerived } from "../../weights/layouts/layout";
import { type ClipConfig, EvaClipError, modelConfig } from "../../index";
import { ClipModel } from "../../train";
import {
  type ConfigStatement,
  type LayoutName,
  type StoredLayout,
  detectLayout,
  inferConfig,
  resolveConfig,
} from "../../weights";
import { exists } from "../../io/model_path";
import { isPublishedName } from "../../weights/locate_weights";
import type { TensorSource } from "../../io/tensor_source";
import { parameterCounts } from "../../models/model_cost";
import { readTrainerState, STATE_FILE } from "../../train/checkpoint";
import { openWeights } from "../../weights/open_weights";
import type { InspectFlags } from "./flags";
import { statementFrom } from "../given_model";
import { columns, count, printResult } from "../output";

/** Which model a file is. */
interface Identity {
  layout?: LayoutName;
  /** The published models with its configuration. */
  models: readonly string[];
  /** For a file that is not a whole model: the published models with its image tower. */
  imageTowerOf?: readonly string[];
  config?: ClipConfig;
  imageParameters?: number;
  textParameters?: number;
  /** Why its layout or its configuration is unknown. */
  unknown?: string;
}

interface Inspection extends Identity {
  /** For a published model. */
  name?: string;
  path?: string;
  format?: TensorSource["format"];
  step?: number;
  parameters: number;
  /** Number of tensors per dtype. */
  dtypes: Record<string, number>;
  tensors: { name: string; dtype: string; shape: readonly number[] }[];
  metadata?: Readonly<Record<string, string>>;
}

type Tensors = Inspection["tensors"];

/** Elements of all tensors that are not derived from a configuration. */
function sizeOf(tensors: Tensors): number {
  const weights = tensors.filter(({ name }) => !isDerived(name));
  return weights.reduce((sum, { shape }) => sum + shape.reduce((size, dim) => size * dim, 1), 0);
}

function countTypes(tensors: Tensors): Record<string, number> {
  const found: Record<string, number> = {};
  for (const { dtype } of tensors) found[dtype] = (found[dtype] ?? 0) + 1;
  return found;
}

/** The fields that follow from a configuration. */
function withConfig(config: ClipConfig): Omit<Identity, "layout" | "unknown"> {
  const { image, text } = parameterCounts(new ClipModel(config));
  return { models: publishedNamesOf(config), config, imageParameters: image, textParameters: text };
}

const isCode = (error: unknown, code: string): error is EvaClipError =>
  error instanceof EvaClipError && error.code === code;

/** The result of an inference; undefined if the file does not determine it. */
function ifDetermined<T>(infer: () => T): T | undefined {
  try {
    return infer();
  } catch (error) {
    if (isCode(error, "ERR_EVACLIP_INVALID_CONFIG")) return undefined;
    throw error;
  }
}

/** The identity of a file without a complete configuration: a field is unknown, or a tower is missing. */
function partialIdentity(source: TensorSource, stored: StoredLayout): Omit<Identity, "layout" | "unknown"> {
  const { tensors, path } = source;
  const models = [false, true].flatMap(
    (quickGelu) => ifDetermined(() => inferConfig(tensors, stored, { quick_gelu: quickGelu }).models) ?? [],
  );
  if (models.length > 0) return { models };
  const imageTowerOf = ifDetermined(() => publishedImageTowersOf(tensors, stored, path));
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
  const { config, quickGelu, preprocessing, ...how } = await statementFrom(flags);
  const statement = {
    ...(config && { config }),
    ...(quickGelu !== undefined && { quickGelu }),
    ...(preprocessing && { preprocessing }),
  };
  await using source = await openWeights(path, how);
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

/** A published model's name is described without its weights, unless the flags ask for some of them. */
async function inspectAny(target: string, flags: InspectFlags): Promise<Inspection> {
  const { config, quickGelu, preprocessing, ema, pretrained } = flags;
  if (pretrained !== undefined || !(await isPublishedName(target))) return inspectFile(target, flags);
  if ([config, quickGelu, preprocessing, ema].every((given) => given === undefined))
    return inspectModel(target);
  throw invalidArgument(
    `--config, --quick-gelu, --preprocessing and --ema are for weights: ${target} is a published model; add --pretrained`,
  );
}

function describe(inspection: Inspection): string {
  const { path, format, layout, models, step, parameters, imageParameters, textParameters } = inspection;
  const { imageTowerOf, dtypes, tensors, config, metadata = {}, unknown } = inspection;
  const facts: [string, unknown][] = [];
  const add = (name: string, value: unknown) => {
    if (value !== undefined) facts.push([name, value]);
  };
  add("file", path);
  add("format", format);
  add("layout", layout);
  add("model", models.length > 0 ? models.join(" or ") : "none of the published ones");
  add("image tower of", imageTowerOf && (imageTowerOf.join(" or ") || "none of the published ones"));
  add("unknown", unknown);
  add("step", step);
  add("parameters", `${parameters} (${count(parameters)})`);
  add("image tower", imageParameters && count(imageParameters));
  add("text tower", textParameters && count(textParameters));
  const types = Object.entries(dtypes).map(([dtype, number]) => `${number} of ${dtype}`);
  add("tensors", types.join(", "));
  for (const [key, value] of Object.entries(metadata)) add(`metadata ${key}`, value);
  add("config", config && JSON.stringify(config));
  const list = tensors.map(({ name, dtype, shape }) => [name, `${dtype} [${shape.join(", ")}]`] as const);
  return `${columns(facts)}\n\n${columns(list)}`;
}

export async function inspect(target: string, flags: InspectFlags): Promise<void> {
  printResult(await inspectAny(target, flags), flags.json, describe);
}
