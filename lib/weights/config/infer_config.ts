import { checkArgument, ownArgument, text } from "../../arguments";
import { type ClipConfig, type ClipConfigInput, parseClipConfig } from "../../models/clip_config";
import { publishedModels } from "../../models/published_models";
import { configFields, storedLayout, tensorMap } from "./config_argument";
import { type ConfigFields, checkActivation, invalidConfig, mlpRatio, withFields } from "./config_fields";
import type { StoredLayout } from "../layouts/layout";
import {
  factsOfConfig,
  factsOfTensors,
  imageFactsOfTensors,
  type ShapeFacts,
  type StoredShapes,
} from "./shape_facts";

type VisionInput = ClipConfigInput["vision_cfg"];

/** The heads' width of every CLIP but the largest, whose widths are in the table of published models. */
const USUAL_HEAD_WIDTH = 64;
/** How layer scales would start where the file holds their values already (EVA01-CLIP-B-16). */
const LAYER_SCALE = 0.1;

/** Numbers that OpenAI's archives hold beside the weights, and no other file does. */
const OPENAI_ARCHIVE = ["input_resolution", "context_length", "vocab_size"];
const ROPE_TABLE = /(^|\.)rope\.freqs_cos$/;

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
 * The configuration of the model that a file holds: a published one whose shapes are exactly these, or else one made of
 * the shapes and of what published models of that family and width have in common.
 *
 * @param stated fields that go before what the file tells, and fill in what it does not
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` naming every field to state, and when the stated activation is not
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
  const quickGelu = activationOf(tensors, facts, stated, path);
  const known = knownConfigs();
  const published = known.filter(({ config }) => sameFacts(factsOfConfig(config), facts));
  const base = published[0]?.config ?? new Composition(facts, known, stated, tensors).config(path);
  const config = parseClipConfig(withFields({ ...base, quick_gelu: quickGelu }, stated));
  return { config, models: modelNames(config, published) };
}

function sameFacts(a: ShapeFacts, b: ShapeFacts): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** The names of the published models that a configuration is one of. */
export function publishedNamesOf(config: ClipConfig): string[] {
  return modelNames(config, knownConfigs());
}

/**
 * The names of the published models whose image tower has the shapes of the one in a file.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` when it holds none
 */
export function publishedImageTowersOf(tensors: StoredShapes, stored: StoredLayout, path: string): string[] {
  const facts = JSON.stringify(imageFactsOfTensors(tensors, stored, path));
  const alike = knownConfigs().filter(({ config }) => JSON.stringify(factsOfConfig(config).image) === facts);
  return alike.map(({ name }) => name);
}

/** The published models that a configuration is one of: models of the same shapes may differ in their activation. */
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
  { image }: ShapeFacts,
  { quick_gelu: stated }: ConfigFields,
  path: string,
): boolean {
  const known = image.isEva ? false : archiveActivation(tensors);
  checkActivation(path, stated, known, image.isEva ? "EVA-CLIP trained with it" : "OpenAI trained with it");
  const found = known ?? stated;
  if (found !== undefined) return found;
  throw invalidConfig(
    `${path} does not tell its activation: state quick_gelu, true for OpenAI's weights and those trained like them, ` +
      "false for LAION's and most others of OpenCLIP",
    { path, state: ["quick_gelu"] },
  );
}

/** A configuration put together where no published one fits. */
class Composition {
  private readonly untold: string[] = [];
  /** An image tower of the same family and width: what no shape tells is the same for both. */
  private readonly kin: ClipConfig["vision_cfg"] | undefined;

  constructor(
    private readonly facts: ShapeFacts,
    known: readonly NamedConfig[],
    private readonly stated: ConfigFields,
    private readonly tensors: StoredShapes,
  ) {
    const { isEva, width, swiglu } = facts.image;
    this.kin = known.find(({ config }) => {
      const { image } = factsOfConfig(config);
      return image.isEva === isEva && image.width === width && image.swiglu === swiglu;
    })?.config.vision_cfg;
  }

  /** @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` naming every field that has to be stated */
  config(path: string): ClipConfigInput {
    const { embedDim, text } = this.facts;
    const config = {
      embed_dim: embedDim,
      vision_cfg: this.vision(),
      text_cfg: {
        context_length: text.contextLength,
        vocab_size: text.vocabulary,
        width: text.width,
        heads: this.tell("text_cfg.heads", this.stated.text_cfg?.heads, usualHeads(text.width)),
        layers: text.layers,
        mlp_ratio: mlpRatio(text.hidden, text.width),
      },
    };
    if (this.untold.length === 0) return config;
    throw invalidConfig(
      `${path} is no published model and does not tell all of its configuration: state ${this.untold.join(", ")}`,
      { path, state: this.untold },
    );
  }

  private vision(): VisionInput {
    const { image } = this.facts;
    const usual = usualHeads(image.width) && USUAL_HEAD_WIDTH;
    const headWidth = this.kin?.head_width ?? usual;
    return {
      image_size: image.imageSize,
      patch_size: image.patchSize,
      layers: image.layers,
      width: image.width,
      mlp_ratio: mlpRatio(image.hidden, image.width),
      head_width: this.tell("vision_cfg.head_width", this.stated.vision_cfg?.head_width, headWidth),
      ...(image.isEva && this.evaFields()),
    };
  }

  /** The parts that only EVA's towers have. Sub-LN came with EVA-02, which is rotary and has its norms before branches. */
  private evaFields(): Partial<VisionInput> {
    const { kin } = this;
    const { image } = this.facts;
    const stated = this.stated.vision_cfg ?? {};
    const isEva02 = image.swiglu && image.subNorm;
    const hasTable = [...this.tensors.keys()].some((name) => ROPE_TABLE.test(name));
    const rope = stated.rope ?? (isEva02 || hasTable || (kin?.rope ?? false));
    if (image.poolsMean && !stated.global_average_pool) {
      this.tell("vision_cfg.pool_type (or global_average_pool)", stated.pool_type, undefined);
    }
    return {
      eva_model_name: kin?.eva_model_name ?? "eva-clip",
      qkv_bias: image.qkvBias,
      use_rms_norm: image.rmsNorm,
      subln: image.subNorm,
      naiveswiglu: image.swiglu,
      postnorm: this.tell("vision_cfg.postnorm", stated.postnorm, isEva02 ? false : kin?.postnorm),
      ls_init_value: image.layerScale ? (kin?.ls_init_value ?? LAYER_SCALE) : null,
      rope,
      ...(rope && {
        pt_hw_seq_len: this.tell("vision_cfg.pt_hw_seq_len", stated.pt_hw_seq_len, kin?.pt_hw_seq_len),
        intp_freq: this.tell("vision_cfg.intp_freq", stated.intp_freq, kin?.intp_freq),
      }),
    };
  }

  private tell<T>(field: string, given: T | undefined, found: T | undefined): T {
    const value = given ?? found;
    if (value === undefined) this.untold.push(field);
    return value as T;
  }
}

/** The heads of a tower whose heads have the usual width; undefined when that does not divide its own. */
function usualHeads(width: number): number | undefined {
  return width % USUAL_HEAD_WIDTH === 0 ? width / USUAL_HEAD_WIDTH : undefined;
}
