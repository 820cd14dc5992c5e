import type { z } from "zod";
import type { ImageTower, ImageTowerOptions } from "./image_tower";
import type { NameRule } from "./name_rules";

/** The fields of `vision_cfg`: the image size, and those of the tower's family. */
export interface ImageTowerConfig {
  image_size: number;
  [field: string]: unknown;
}

/** A tensor that follows from a configuration, f32. */
export interface DerivedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  data(): Float32Array;
}

/** The names of an image tower's tensors in a layout. `Variant` distinguishes towers of one family whose names differ. */
export interface ImageTowerLayout<Config = ImageTowerConfig, Variant = unknown> {
  /** Names that every file of this layout with such a tower has, and no other file. Default: files are not detected by it. */
  readonly landmarks?: readonly string[];
  rules(variant: Variant): readonly NameRule[];
  /** Whether models are written in this layout. Default false. */
  readonly writable?: boolean;
  /** Tensors that strict readers of this layout expect in addition to the parameters, such as rotary tables. */
  derived?(config: Config): readonly DerivedTensor[];
}

/** Whether a file has a parameter, named as the model names it, if its tower is of a variant. */
export type HasParameter<Variant> = (name: string, variant: Variant) => boolean;

/** The names and shapes of a file's tensors, under the model's names. */
export interface ShapeReader<Variant = unknown> {
  readonly variant: Variant;
  has(name: string): boolean;
  /** @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` when the file does not have it */
  shape(name: string): readonly number[];
  /** The number of blocks below a name. */
  count(blocks: string): number;
  /**
   * G of position embeddings [..., 1 + G², width].
   * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` when their rows are not a class token and a square grid
   */
  grid(positions: string): number;
}

/** Evidence for a configuration in addition to its facts. */
export interface ConfigReference<Config> {
  /** The configuration of a published tower that resembles this one, in which fields that shapes do not determine agree. */
  readonly reference: Config | undefined;
  /** The fields of `vision_cfg` that the caller states. */
  readonly stated: Readonly<Record<string, unknown>>;
  /** Whether the file has a tensor whose name matches. */
  hasTensor(pattern: RegExp): boolean;
}

/**
 * The evidence for a field, most reliable first; the first that is not undefined decides. What the caller states always
 * comes first; a field without any evidence has to be stated.
 */
export type FieldEvidence = Readonly<Record<string, readonly unknown[]>>;

/** How the configuration of a tower is inferred from the shapes of a file without one. `Facts` is plain JSON. */
export interface ImageTowerInference<Config, Variant, Facts> {
  /** The fields that names and shapes determine, from a configuration. */
  factsOf(config: Config): Facts;
  /** The same fields, from a file. */
  factsIn(shapes: ShapeReader<Variant>): Facts;
  /** Whether two towers agree in the fields that shapes do not determine. */
  resembles(facts: Facts, published: Facts): boolean;
  evidence(facts: Facts, known: ConfigReference<Config>): FieldEvidence;
}

/** Such towers in transformers' configurations. */
export interface HuggingFaceTower<Config> {
  /** The epsilon of the tower's norms; another one in a file is an error. */
  readonly layerNormEps: number;
  /** Whether models without `hidden_act` use QuickGELU. */
  readonly defaultQuickGelu: boolean;
  /** From a `vision_config` to the fields of `vision_cfg` beyond those of every vision transformer. */
  readonly fields?: z.ZodType<Record<string, unknown>>;
  /** A `vision_config`, of a tower that is written in this layout. */
  visionConfig?(config: Config): Record<string, unknown>;
}

/** Such towers in open_clip's configurations. */
export interface OpenClipTower<Config> {
  /** The names of towers that are timm's, with their `vision_cfg`. */
  readonly timm?: Readonly<Record<string, Record<string, unknown>>>;
  /** A `vision_cfg` without `image_size`; undefined where open_clip has no such tower. */
  visionConfig(config: Config): Record<string, unknown> | undefined;
}

/**
 * A family of image towers: its configuration, how it is built, and how its files look. Everything that depends on the
 * family is here; `registerImageTower` adds one.
 */
export interface ImageTowerDescriptor<
  Config extends ImageTowerConfig = ImageTowerConfig,
  Variant = unknown,
  Facts = unknown,
> {
  /** A unique name, such as `eva`. */
  readonly name: string;
  /** Its name in messages, such as `an EVA image tower`. */
  readonly title: string;
  /** Whether the fields of a `vision_cfg` describe such a tower. Towers registered last are asked first. */
  matches(fields: Readonly<Record<string, unknown>>): boolean;
  /** The fields of `vision_cfg`, with their defaults, and what they must satisfy together. */
  readonly schema: z.ZodType<Config>;
  build(config: Config, options: ImageTowerOptions): ImageTower;
  /** Whether the keys of the text tower paired with it begin with `text.`, unless `custom_text` is given. */
  readonly customText: boolean;
  /** The activation of every model with such a tower, and why; undefined: the configuration's `quick_gelu`. */
  readonly activation?: { readonly quickGelu: boolean; readonly reason: string };
  /** The layout whose names the model itself has. */
  readonly ownLayout: string;
  /** Layouts by name. A new name defines a separate layout, whose text tower has OpenAI's names. */
  readonly layouts: Readonly<Record<string, ImageTowerLayout<Config, Variant>>>;
  /** Default: towers of this family all have the same names. */
  readonly variant?: { of(config: Config): Variant; in(has: HasParameter<Variant>): Variant };
  /** Without it, a file needs a configuration file next to it. */
  readonly inference?: ImageTowerInference<Config, Variant, Facts>;
  readonly huggingFace?: HuggingFaceTower<Config>;
  readonly openClip?: OpenClipTower<Config>;
}

/** A descriptor whose own types are not known, as the registry holds it. */
// biome-ignore lint/suspicious/noExplicitAny: only the descriptor itself knows its types; each value returns to it alone
export type AnyImageTower = ImageTowerDescriptor<any, any, any>;
