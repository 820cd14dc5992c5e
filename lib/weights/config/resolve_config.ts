import { checkArgument, ownArgument } from "../../arguments";
import type { TensorSource } from "../../io/tensor_source";
import {
  type ClipConfig,
  type ClipConfigInput,
  parseClipConfig,
  parsePreprocessing,
  withoutNulls,
  withPreprocessing,
} from "../../models/clip_config";
import { CLIP_PREPROCESSING, type Preprocessing } from "../../image/preprocessing";
import { statIfThere } from "../../io/model_path";
import { imageTowerOf } from "../../models/image_towers";
import { modelConfig } from "../../models/known_models";
import { configStatement, storedLayout, tensorSource } from "./config_argument";
import { CONFIG_FILE, jsonBeside, OPEN_CLIP_CONFIG_FILE, pathBeside } from "./config_files";
import { type ConfigFields, checkActivation, withFields } from "./config_fields";
import { fromHuggingFaceConfig, isHuggingFaceConfig } from "./hugging_face_config";
import { archiveActivation, inferConfig } from "./infer_config";
import type { StoredLayout } from "../layouts/layout";
import { fromOpenClipConfig, isOpenClipConfig } from "./open_clip_config";
import { knownPreprocessing } from "./known_preprocessing";
import { type StatedPreprocessing, storedPreprocessing } from "./stored_preprocessing";
import { STATE_FILE } from "../checkpoint/trainer_state";
import { withStoredTokenizer } from "./stored_tokenizer";
import { checkSupported } from "./supported_towers";

export { CONFIG_FILE };

/** The name or an alias of a published model, or a configuration in the JSON of the published files. */
export type ConfigSource = string | ClipConfigInput;

export interface ConfigStatement {
  /** The whole configuration, or, without `embed_dim`, fields that override the file's. */
  readonly config?: ConfigSource | ConfigFields;
  /** The activation of the text tower, and of a plain image tower. */
  readonly quickGelu?: boolean;
  /** How images are prepared: what the files do not state, or state wrongly. */
  readonly preprocessing?: Partial<Preprocessing>;
}

/** A configuration and its source. */
export interface FoundConfig {
  readonly config: ClipConfigInput;
  readonly where: string;
}

function isWhole(config: ClipConfigInput | ConfigFields): config is ClipConfigInput {
  return typeof config.embed_dim === "number";
}

function isOwnConfig(json: unknown): json is ClipConfigInput {
  return typeof json === "object" && json !== null && "vision_cfg" in json;
}

/** The configuration next to a file or in its metadata. GELU is the default of every format but transformers'. */
export async function findConfig(
  source: TensorSource,
  stored: StoredLayout,
): Promise<FoundConfig | undefined> {
  const { layout, imageTower = imageTowerOf({}) } = stored;
  const where = pathBeside(source, CONFIG_FILE);
  const json = withoutNulls(await jsonBeside(source, CONFIG_FILE));
  if (layout.name === "hugging_face") {
    if (!isHuggingFaceConfig(json)) return undefined;
    return { config: fromHuggingFaceConfig(json, imageTower, where), where };
  }
  if (isOwnConfig(json)) return { config: { quick_gelu: false, ...json }, where };
  const openClip = withoutNulls(await jsonBeside(source, OPEN_CLIP_CONFIG_FILE));
  if (isOpenClipConfig(openClip)) {
    const path = pathBeside(source, OPEN_CLIP_CONFIG_FILE);
    return { config: { quick_gelu: false, ...fromOpenClipConfig(openClip, path) }, where: path };
  }
  return configInMetadata(source);
}

function configInMetadata({ path, metadata }: TensorSource): FoundConfig | undefined {
  if (metadata.config === undefined) return undefined;
  let json: unknown;
  try {
    json = withoutNulls(JSON.parse(metadata.config));
  } catch {
    return undefined;
  }
  return isOwnConfig(json)
    ? { config: { quick_gelu: false, ...json }, where: `the configuration in the metadata of ${path}` }
    : undefined;
}

/** What the caller states of a file. */
interface Stated {
  /** The whole configuration. */
  readonly whole: ClipConfigInput | undefined;
  /** Fields that override the file's. */
  readonly fields: ConfigFields;
}

/** The configuration of a file, without the preprocessing and the tokenizer stated in files next to it. */
function configOfFile(
  source: TensorSource,
  stored: StoredLayout,
  { fields }: Stated,
  found: FoundConfig | undefined,
): ClipConfig {
  const { path, tensors } = source;
  if (found === undefined) return inferConfig(tensors, stored, fields, path).config;
  checkActivation(path, fields.quick_gelu, found.config.quick_gelu, `${found.where} says so`);
  const config = parseClipConfig(withFields(found.config, fields), found.where);
  checkActivation(path, config.quick_gelu, archiveActivation(tensors), "OpenAI trained with it");
  return config;
}

/** The preprocessing that the caller's configuration states, or that of the file, or other files next to it. */
async function statedPreprocessing(
  source: TensorSource,
  { layout }: StoredLayout,
  { whole, fields }: Stated,
  found: FoundConfig | undefined,
): Promise<StatedPreprocessing | undefined> {
  const given = fields.preprocess_cfg ?? found?.config.preprocess_cfg;
  const where = fields.preprocess_cfg ? "the configuration given" : (found?.where ?? source.path);
  if (given) return { preprocessing: parsePreprocessing(given, `${where}: preprocess_cfg`), where };
  const stored = await storedPreprocessing(source, layout.name);
  if (stored) return stored;
  // The caller's whole configuration, and that of a training run here, state CLIP's by leaving it out.
  const isComplete = whole !== undefined || (await statIfThere(pathBeside(source, STATE_FILE))) !== undefined;
  return isComplete ? { preprocessing: CLIP_PREPROCESSING, where } : undefined;
}

function statedBy(path: string, { config: given, quickGelu }: ConfigStatement): Stated {
  const whole = typeof given === "string" ? modelConfig(given) : given && isWhole(given) ? given : undefined;
  const fields: ConfigFields = whole === undefined ? ((given as ConfigFields | undefined) ?? {}) : {};
  checkActivation(path, quickGelu, fields.quick_gelu, "its configuration says so");
  return { whole, fields: { ...fields, ...(quickGelu !== undefined && { quick_gelu: quickGelu }) } };
}

/**
 * The configuration of the model in a file: as stated, or from a config.json or open_clip_config.json next to it, its
 * metadata, or its shapes; with the preprocessing and the tokenizer stated in other files next to it.
 *
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` when it cannot be inferred, naming the fields to state, when a part of
 *   it is not supported, when its preprocessing is unknown, or when the stated activation contradicts it; `ERR_EVACLIP_UNKNOWN_MODEL` for an unknown name
 */
export async function resolveConfig(
  source: TensorSource,
  stored: StoredLayout,
  statement: ConfigStatement = {},
): Promise<ClipConfig> {
  checkArgument("resolveConfig: source", source, tensorSource);
  const layout = ownArgument("resolveConfig: stored", stored, storedLayout);
  const own = ownArgument("resolveConfig: statement", statement, configStatement);
  checkSupported(source);
  const stated = statedBy(source.path, own);
  const found = stated.whole
    ? { config: stated.whole, where: "the configuration given" }
    : await findConfig(source, layout);
  const config = configOfFile(source, layout, stated, found);
  const files = await statedPreprocessing(source, layout, stated, found);
  const preprocess_cfg = knownPreprocessing(source, config, files, own.preprocessing);
  return withStoredTokenizer(withPreprocessing(config, preprocess_cfg), source);
}
