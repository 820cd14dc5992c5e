import { type ClipConfig, isEva, textPrefix } from "../../models/clip_config";

export type LayoutName = "eva_clip" | "open_clip" | "openai" | "hugging_face" | "timm" | "eva_mim";

/** What the names of a model's tensors depend on, besides the layout. */
export interface Naming {
  /** The family of the image tower: EVA's, or OpenAI CLIP's plain vision transformer. */
  readonly image: "eva" | "clip";
  /** Queries, keys and values of the image tower are projected by three matrices (EVA-02), not by one. */
  readonly separate: boolean;
  /** The MLP of the image tower is a SwiGLU. */
  readonly swiglu: boolean;
  /** What the names of the text tower begin with in the model. */
  readonly text: string;
  /** What they begin with in the file, where the layout leaves that open. */
  readonly storedText: string;
}

/** Where a layout keeps a part of the model. The first rule that fits a name decides. */
export interface Rule {
  /** A parameter or a module; `*` is the number of a block, and what lies below the name goes along. */
  readonly ours: string;
  /** The name in the file; several names hold equal shares of the rows, one after another. */
  readonly stored: string | readonly string[];
  /** The file holds the transpose. */
  readonly transpose?: boolean;
  /** The file holds only so many of the last dimensions; those before are 1. */
  readonly rank?: number;
}

/** One way to name and arrange the tensors of a CLIP model in a file. */
export interface Layout {
  readonly name: LayoutName;
  /** Names that every file of this layout has when it holds the tower; of a text tower, one list or another. */
  readonly landmarks: { readonly image: readonly string[]; readonly texts?: readonly (readonly string[])[] };
  /** The family of the image tower of a file that has these names. */
  imageFamily(has: (name: string) => boolean): Naming["image"];
  rules(naming: Naming): readonly Rule[];
  /** Tensors of another task that files of this layout hold, such as the head of masked-image modelling. */
  readonly foreign?: readonly string[];
}

/** A layout as one file has it. */
export interface StoredLayout {
  /** @internal */
  readonly layout: Layout;
  /** The prefix of the text tower's names. @internal */
  readonly storedText: string;
}

/** Where a parameter stands in a file. */
export interface Place {
  readonly names: readonly string[];
  readonly transpose: boolean;
  readonly rank: number | undefined;
}

export type Tower = "image" | "text" | "neither";

/** Computed from the configuration, or a fact about it; never read. */
const DERIVED =
  /(^|\.)(rope\.(freqs_(cos|sin)|pos_embed)|attn_mask|position_ids|relative_position_index|k_bias|input_resolution|context_length|vocab_size)$/;

/** Whether a stored tensor follows from the configuration, such as the tables of rotary positions. */
export function isDerived(name: string): boolean {
  return DERIVED.test(name);
}

/** What the model of a configuration calls its parameters, and a file of that layout its tensors. */
export function namingOf(config: ClipConfig, storedText: string = textPrefix(config)): Naming {
  const { subln, naiveswiglu } = config.vision_cfg;
  const image = isEva(config) ? "eva" : "clip";
  return { image, separate: subln, swiglu: naiveswiglu, text: textPrefix(config), storedText };
}

/** Which tower a parameter of the model belongs to. */
export function towerOf(name: string): Tower {
  if (name === "logit_scale") return "neither";
  return name.startsWith("visual.") ? "image" : "text";
}

const split = (name: string) => (name === "" ? [] : name.split("."));

/** The segments of the patterns of rules, which are few and are asked for with every name. */
const patternSegments = new Map<string, readonly string[]>();

function segmentsOf(pattern: string): readonly string[] {
  const known = patternSegments.get(pattern);
  if (known !== undefined) return known;
  const segments = split(pattern);
  patternSegments.set(pattern, segments);
  return segments;
}

/** What a name becomes when the front that `from` describes is replaced by `to`; undefined when it does not fit. */
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

/** Where a parameter of the model stands in a file; undefined when the layout has no place for it. */
export function placeOf(name: string, rules: readonly Rule[]): Place | undefined {
  const parts = split(name);
  for (const { ours, stored, transpose = false, rank } of rules) {
    const names = [stored].flat().map((target) => rename(parts, ours, target));
    if (names[0] !== undefined) return { names: names as string[], transpose, rank };
  }
  return undefined;
}

/** The parameter that a tensor of a file is, or is a share of; undefined when the layout knows no such name. */
export function parameterOf(stored: string, rules: readonly Rule[]): string | undefined {
  const parts = split(stored);
  for (const rule of rules) {
    for (const pattern of [rule.stored].flat()) {
      const name = rename(parts, pattern, rule.ours);
      if (name !== undefined) return name;
    }
  }
  return undefined;
}

/** What the shape of each of a parameter's tensors is in a file. */
export function storedShape(shape: readonly number[], { names, transpose, rank }: Place): readonly number[] {
  const kept = rank === undefined ? shape : shape.slice(shape.length - rank);
  const turned = transpose ? kept.toReversed() : kept;
  return names.length === 1 ? turned : [turned[0]! / names.length, ...turned.slice(1)];
}

/** The names in a module that the layout shares with the model. */
export function unchanged(...names: readonly string[]): Rule[] {
  return names.map((name) => ({ ours: name, stored: name }));
}

const TEXT_PARTS = ["positional_embedding", "text_projection", "token_embedding", "transformer", "ln_final"];

/** The text tower under OpenAI's names, below `text.` or at the root. */
export function textRules({ text, storedText }: Naming): Rule[] {
  return TEXT_PARTS.map((part) => ({ ours: `${text}${part}`, stored: `${storedText}${part}` }));
}

/** Rules for the parts of every block: [ours, stored] below the two fronts. */
export function blockRules(
  ours: string,
  stored: string,
  parts: readonly (readonly [string, string | readonly string[]])[],
): Rule[] {
  const below = (name: string) => `${stored}.*.${name}`;
  return parts.map(([part, place]) => ({
    ours: `${ours}.*.${part}`,
    stored: typeof place === "string" ? below(place) : place.map(below),
  }));
}
