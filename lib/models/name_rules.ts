/** Maps the names of a part of a model to a layout's. The first rule that matches a name applies. */
export interface NameRule {
  /** A parameter or module of the model; `*` is the number of a block. Names below a module follow it. */
  readonly ours: string;
  /** The name in the file; several names hold equal shares of the rows, in order. */
  readonly stored: string | readonly string[];
  /** The file holds the transpose. */
  readonly transpose?: boolean;
  /** The file holds only the last `rank` dimensions; those before are 1. */
  readonly rank?: number;
}

/** Rules for modules whose names in the file are those of the model. */
export function unchanged(...names: readonly string[]): NameRule[] {
  return names.map((name) => ({ ours: name, stored: name }));
}

/** Rules for the parts of every block: [ours, stored], below the two prefixes. */
export function blockRules(
  ours: string,
  stored: string,
  parts: readonly (readonly [string, string | readonly string[]])[],
): NameRule[] {
  const below = (name: string) => `${stored}.*.${name}`;
  return parts.map(([part, place]) => ({
    ours: `${ours}.*.${part}`,
    stored: typeof place === "string" ? below(place) : place.map(below),
  }));
}

/** The q, k and v parts that transformers splits a packed projection into. */
export const splitProjections = (kind: "weight" | "bias") =>
  ["q", "k", "v"].map((part) => `self_attn.${part}_proj.${kind}`);

/** Rules for the blocks of OpenAI's towers in transformers' layout, which splits their packed projections. */
export function huggingFaceBlocks(ours: string, stored: string): NameRule[] {
  return blockRules(`${ours}transformer.resblocks`, `${stored}.encoder.layers`, [
    ["attn.in_proj_weight", splitProjections("weight")],
    ["attn.in_proj_bias", splitProjections("bias")],
    ["attn.out_proj", "self_attn.out_proj"],
    ["ln_1", "layer_norm1"],
    ["ln_2", "layer_norm2"],
    ["mlp.c_fc", "mlp.fc1"],
    ["mlp.c_proj", "mlp.fc2"],
  ]);
}
