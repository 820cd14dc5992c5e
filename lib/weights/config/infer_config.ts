import { checkArgument, ownArgument, text } from "../../arguments";
import { type ClipConfig, type ClipConfigInput, parseClipConfig } from "../../models/clip_config";
import type { AnyImageTower, FieldEvidence } from "../../models/image_tower_descriptor";
import { SIGLIP_LOGITS } from "../../models/clip_model";
import { mlpRatio } from "../../models/mlp_width";
import { publishedModels } from "../../models/published_models";
import { usualHeadWidth } from "../../models/usual_heads";
import type { StoredLayout } from "../layouts/layout";
import { configFields, storedLayout, tensorMap } from "./config_argument";
import { type ConfigFields, checkActivation, invalidConfig, withFields } from "./config_fields";
import {
  factsOfConfig,
  factsOfTensors,
  type ImageFacts,
  imageFactsOfTensors,
  type ShapeFacts,
  type StoredShapes,
} from "./shape_facts";

/** Numbers that only OpenAI's archives contain in addition to the weights. */
const OPENAI_ARCHIVE = ["input_resolution", "context_length", "vocab_size"];

interface NamedConfig {
  readonly name: string;
  readonly config: ClipConfig;
}

function knownConfigs(): NamedConfig[] {
  return publishedModels.map(({ name, config }) => ({ name, config: parseClipConfig(config) }));
}

/** A configuration, and the published models that have it. */
export interface InferredConfig {
  readonly config: ClipConfig;
  readonly models: readonly string[];
}

/**
 * The configuration of the model in a file: a published one with exactly its shapes, or else one inferred from the shapes
 * and from published models of the same family and width.
 *
 * @param stated fields that override or complete those of the file
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` naming every field to state, or when the stated activation is not
 *   that of the file's family
 */
export function inferConfig(
  tensors: StoredShapes,
  given: StoredLayout,
  stated: ConfigFields = {},
  path = "the file",
): InferredConfig {
  checkArgument("inferConfig: tensors", tensors, tensorMap);
  const stored = ownArgument("inferConfig: stored", given, storedLayout);
  checkArgument("inferConfig: stated", stated, configFields);
  checkArgument("inferConfig: path", path, text);
  const facts = factsOfTensors(tensors, stored, path);
  const quickGelu = activationOf(tensors, stored.imageTower, stated, path);
  const known = knownConfigs();
  const published = known.filter(({ config }) => sameFacts(factsOfConfig(config), facts));
  const base = published[0]?.config ?? inferredConfig({ facts, stored, known, stated, tensors, path });
  const logitBias = tensors.has("logit_bias") ? { init_logit_bias: SIGLIP_LOGITS.init_logit_bias } : {};
  const config = parseClipConfig(withFields({ ...base, quick_gelu: quickGelu, ...logitBias }, stated));
  return { config, models: modelNames(config, published) };
}

function sameFacts<T extends ShapeFacts | ImageFacts>(a: T, b: T): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** The names of the published models with a configuration. */
export function publishedNamesOf(config: ClipConfig): string[] {
  return modelNames(config, knownConfigs());
}

/**
 * The names of the published models whose image tower has the shapes of the one in a file.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` when it has none
 */
export function publishedImageTowersOf(tensors: StoredShapes, stored: StoredLayout, path: string): string[] {
  const facts = imageFactsOfTensors(tensors, stored, path);
  const alike = knownConfigs().filter(({ config }) => sameFacts(factsOfConfig(config).image, facts));
  return alike.map(({ name }) => name);
}

/** The published models with a configuration: models with the same shapes may differ in their activation. */
function modelNames(config: ClipConfig, published: readonly NamedConfig[]): string[] {
  const isSame = (other: ClipConfig) =>
    other.quick_gelu === config.quick_gelu && sameFacts(factsOfConfig(other), factsOfConfig(config));
  return published.filter((candidate) => isSame(candidate.config)).map(({ name }) => name);
}

/** The activation of the models that OpenAI published as archives; undefined for any other file. */
export function archiveActivation(names: { has(name: string): boolean }): true | undefined {
  return OPENAI_ARCHIVE.every((name) => names.has(name)) ? true : undefined;
}

function activationOf(
  tensors: StoredShapes,
  tower: AnyImageTower | undefined,
  { quick_gelu: stated }: ConfigFields,
  path: string,
): boolean {
  const ofFamily = tower?.activation;
  const known = ofFamily?.quickGelu ?? archiveActivation(tensors);
  checkActivation(path, stated, known, ofFamily?.reason ?? "OpenAI trained with it");
  const found = known ?? stated;
  if (found !== undefined) return found;
  throw invalidConfig(
    `cannot tell the activation of ${path}: state quick_gelu, true for OpenAI's weights and those trained like them, ` +
      "false for LAION's and most others of OpenCLIP",
    { path, state: ["quick_gelu"] },
  );
}

interface Evidence {
  readonly facts: ShapeFacts;
  readonly stored: StoredLayout;
  readonly known: readonly NamedConfig[];
  readonly stated: ConfigFields;
  readonly tensors: StoredShapes;
  readonly path: string;
}

/** A configuration where no published one has the shapes. */
function inferredConfig(given: Evidence): ClipConfigInput {
  const { facts, stated, path } = given;
  const missing: string[] = [];
  const config = {
    embed_dim: facts.embedDim,
    vision_cfg: decide("vision_cfg", imageEvidence(given), stated.vision_cfg, missing),
    text_cfg: decide("text_cfg", textEvidence(facts), stated.text_cfg, missing),
  };
  if (missing.length === 0) return config;
  throw invalidConfig(
    `${path} is not a published model, and its shapes leave fields undetermined: state ${missing.join(", ")}`,
    { path, state: missing },
  );
}

/** Each field from the first evidence that there is; fields without any are added to `missing`. */
function decide(
  section: string,
  evidence: FieldEvidence,
  stated: Readonly<Record<string, unknown>> = {},
  missing: string[],
): Record<string, unknown> {
  const fields = Object.entries(evidence).map(([field, values]) => {
    const value = [stated[field], ...values].find((candidate) => candidate !== undefined);
    if (value === undefined) missing.push(`${section}.${field}`);
    return [field, value];
  });
  return Object.fromEntries(fields);
}

function imageEvidence({ facts, stored, known, stated, tensors }: Evidence): FieldEvidence {
  const { inference } = stored.imageTower!;
  const { tower, facts: found } = facts.image;
  const reference = known.find(({ config }) => {
    const { image } = factsOfConfig(config);
    return image.tower === tower && inference!.resembles(found, image.facts);
  })?.config.vision_cfg;
  const hasTensor = (pattern: RegExp) => [...tensors.keys()].some((name) => pattern.test(name));
  return inference!.evidence(found, { reference, stated: stated.vision_cfg ?? {}, hasTensor });
}

function textEvidence({ text }: ShapeFacts): FieldEvidence {
  const headWidth = usualHeadWidth(text.width);
  return {
    context_length: [text.contextLength],
    vocab_size: [text.vocabulary],
    width: [text.width],
    heads: [headWidth && text.width / headWidth],
    layers: [text.layers],
    mlp_ratio: [mlpRatio(text.hidden, text.width)],
  };
}
