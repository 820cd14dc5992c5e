import { type ClipConfig, textPrefix } from "../../models/clip_config";
import type { AnyImageTower } from "../../models/image_tower_descriptor";
import { imageTowerOf } from "../../models/image_towers";
import { type NameRule, unchanged } from "../../models/name_rules";
import type { TowerName } from "../../parameter_role";

/** Published layouts, and those that registered image towers bring. */
export type LayoutName =
  | "eva_clip"
  | "open_clip"
  | "openai"
  | "hugging_face"
  | "timm"
  | "eva_mim"
  | (string & {});

/** The prefix of the text tower's keys. */
export interface TextNaming {
  /** In the model: `text.` or `""`. */
  readonly text: string;
  /** In the file, where the layout allows either. */
  readonly storedText: string;
}

/** One way to name and arrange the tensors of a CLIP model in a file. Image towers say how a layout stores them. */
export interface Layout {
  readonly name: LayoutName;
  /** The parameters of no tower that files hold, under the model's names. */
  readonly shared?: readonly string[];
  /** Rules of the text tower; without them, files of this layout contain only an image tower. */
  readonly text?: {
    rules(naming: TextNaming): readonly NameRule[];
    /** Lists of names, one of which every file of this layout with a text tower has. */
    readonly landmarks?: readonly (readonly string[])[];
  };
  /** Tensors of another task that files of this layout hold, such as the head of masked-image modeling. */
  readonly foreign?: readonly string[];
  /** The name of a folder's weights, for the programs that read this layout. */
  readonly modelFile?: string;
}

/** The layout of a file. */
export interface StoredLayout {
  /** @internal */
  readonly layout: Layout;
  /** The family of its image tower; undefined where it holds none. */
  readonly imageTower: AnyImageTower | undefined;
  /** The prefix of its text tower's keys: `text.` or `""`. */
  readonly storedText: string;
}

/** A rule, and the tower it applies to; undefined for parameters of no tower. */
export interface PlacedRule extends NameRule {
  readonly tower: TowerName | undefined;
}

/** The location of a parameter in a file. */
export interface Place {
  readonly names: readonly string[];
  readonly transpose: boolean;
  readonly rank: number | undefined;
}

/** Computed from the configuration, or a fact about it; never read. */
const DERIVED =
  /(^|\.)(rope\.(freqs_(cos|sin)|pos_embed)|attn_mask|position_ids|relative_position_index|k_bias|input_resolution|context_length|vocab_size)$/;

/** Whether a stored tensor follows from the configuration, such as the tables of rotary positions. */
export function isDerived(name: string): boolean {
  return DERIVED.test(name);
}

/** The rules of a layout, for an image tower of a variant. */
export function rulesFor(
  layout: Layout,
  tower: AnyImageTower | undefined,
  variant: unknown,
  naming: TextNaming,
): PlacedRule[] {
  const image = tower?.layouts[layout.name]?.rules(variant) ?? [];
  const text = layout.text?.rules(naming) ?? [];
  return [
    ...unchanged(...(layout.shared ?? [])).map((rule) => ({ ...rule, tower: undefined })),
    ...image.map((rule) => ({ ...rule, tower: "image" as const })),
    ...text.map((rule) => ({ ...rule, tower: "text" as const })),
  ];
}

/** The rules by which a model is stored in a layout. */
export function rulesOfModel(
  layout: Layout,
  config: ClipConfig,
  storedText: string = textPrefix(config),
): PlacedRule[] {
  const tower = imageTowerOf(config.vision_cfg);
  const naming = { text: textPrefix(config), storedText };
  return rulesFor(layout, tower, tower.variant?.of(config.vision_cfg), naming);
}

/** The variant of a file's image tower; `has` says whether the file has a tensor. */
export function variantIn(stored: StoredLayout, has: (name: string) => boolean): unknown {
  const { layout, imageTower } = stored;
  const rules = imageTower?.layouts[layout.name]?.rules;
  if (!imageTower || !rules) return undefined;
  return imageTower.variant?.in((name, variant) => placeOf(name, rules(variant))?.names.every(has) ?? false);
}

const split = (name: string) => (name === "" ? [] : name.split("."));

/** The segments of the patterns of rules, which are few and are looked up for every name. */
const patternSegments = new Map<string, readonly string[]>();

function segmentsOf(pattern: string): readonly string[] {
  const known = patternSegments.get(pattern);
  if (known !== undefined) return known;
  const segments = split(pattern);
  patternSegments.set(pattern, segments);
  return segments;
}

/** A name with the prefix `from` replaced by `to`; undefined when it does not begin with it. */
function rename(parts: readonly string[], from: string, to: string): string | undefined {
  const pattern = segmentsOf(from);
  let block = "";
  for (const [i, segment] of pattern.entries()) {
    const part = parts[i];
    if (segment === "*" && part !== undefined && /^\d+$/.test(part)) block = part;
    else if (segment !== part) return undefined;
  }
  const front = segmentsOf(to).map((segment) => (segment === "*" ? block : segment));
  return [...front, ...parts.slice(pattern.length)].join(".");
}

/** The location of a model parameter in a file; undefined if the layout does not contain it. */
export function placeOf(name: string, rules: readonly NameRule[]): Place | undefined {
  const parts = split(name);
  for (const { ours, stored, transpose = false, rank } of rules) {
    const names = [stored].flat().map((target) => rename(parts, ours, target));
    if (names[0] !== undefined) return { names: names as string[], transpose, rank };
  }
  return undefined;
}

/**
 * The parameter that a tensor of a file contains, whole or in part, and its tower; undefined for a name that is not in the
 * layout.
 */
export function parameterOf(
  stored: string,
  rules: readonly PlacedRule[],
): { readonly name: string; readonly tower: TowerName | undefined } | undefined {
  const parts = split(stored);
  for (const { ours, stored: patterns, tower } of rules) {
    for (const pattern of [patterns].flat()) {
      const name = rename(parts, pattern, ours);
      if (name !== undefined) return { name, tower };
    }
  }
  return undefined;
}

/** The shape of each of a parameter's tensors in a file. */
export function storedShape(shape: readonly number[], { names, transpose, rank }: Place): readonly number[] {
  const kept = rank === undefined ? shape : shape.slice(shape.length - rank);
  const turned = transpose ? kept.toReversed() : kept;
  return names.length === 1 ? turned : [turned[0]! / names.length, ...turned.slice(1)];
}
