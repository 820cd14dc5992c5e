import { checkArgument, ownArgument } from "../../arguments";
import type { TensorSource } from "../../io/tensor_source";
import {
  type ClipConfig,
  type ClipConfigInput,
  parseClipConfig,
  withoutNulls,
} from "../../models/clip_config";
import { imageTowerOf } from "../../models/image_towers";
import { modelConfig } from "../../models/known_models";
import { configStatement, storedLayout, tensorSource } from "./config_argument";
import { CONFIG_FILE, jsonBeside, OPEN_CLIP_CONFIG_FILE, pathBeside } from "./config_files";
import { type ConfigFields, checkActivation, withFields } from "./config_fields";
import { fromHuggingFaceConfig, isHuggingFaceConfig } from "./hugging_face_config";
import { archiveActivation, inferConfig } from "./infer_config";
import type { StoredLayout } from "../layouts/layout";
import { fromOpenClipConfig, isOpenClipConfig } from "./open_clip_config";
import { withStoredPreprocessing } from "./stored_preprocessing";
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

/** The configuration of a file, without the tokenizer stated in files next to it. */
async function configOfFile(
  source: TensorSource,
  stored: StoredLayout,
  { config: given, quickGelu }: ConfigStatement,
): Promise<ClipConfig> {
  const whole = typeof given === "string" ? modelConfig(given) : given && isWhole(given) ? given : undefined;
  const fields: ConfigFields = whole === undefined ? ((given as ConfigFields | undefined) ?? {}) : {};
  checkActivation(source.path, quickGelu, fields.quick_gelu, "its configuration says so");
  const activation = quickGelu ?? fields.quick_gelu;
  const stated = { ...fields, ...(activation !== undefined && { quick_gelu: activation }) };
  const found = whole
    ? { config: whole, where: "the configuration given" }
    : await findConfig(source, stored);
  if (found === undefined) {
    const inferable = await withStoredPreprocessing(stated, source, stored.layout.name);
    return inferConfig(source.tensors, stored, inferable, source.path).config;
  }
  checkActivation(source.path, activation, found.config.quick_gelu, `${found.where} says so`);
  const described = await withStoredPreprocessing(
    withFields(found.config, stated),
    source,
    stored.layout.name,
  );
  const config = parseClipConfig(described, found.where);
  checkActivation(
    source.path,
    config.quick_gelu,
    archiveActivation(source.tensors),
    "OpenAI trained with it",
  );
  return config;
}

/**
 * The configuration of the model in a file: as stated, or from a config.json or open_clip_config.json next to it, its
 * metadata, or its shapes; with the preprocessing and the tokenizer stated in other files next to it.
 *
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` when it cannot be inferred, naming the fields to state, when a part of
 *   it is not supported, or when the stated activation contradicts it; `ERR_EVACLIP_UNKNOWN_MODEL` for an unknown name
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
  return withStoredTokenizer(await configOfFile(source, layout, own), source);
}
