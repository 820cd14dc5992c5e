import type { Initializer } from "../parameter";

/** The initializers of the matrices of one block. */
export interface BlockInitialization {
  /** The projections to queries, keys and values. */
  qkv: Initializer;
  /** The output projection of attention. */
  attentionOutput: Initializer;
  /** The projections to the hidden layer of the MLP. */
  hidden: Initializer;
  /** The output projection of the MLP. */
  mlpOutput: Initializer;
}

/** The initializers of a tower. Biases start at zero, norms as the identity. */
export interface Initialization {
  block(index: number): BlockInitialization;
  /** The class token, or the table of token embeddings. */
  token: Initializer;
  positions: Initializer;
  patches: Initializer;
  /** The projection to the shared embedding space. */
  head: Initializer;
}

/** The sizes that standard deviations depend on. */
export interface TowerSize {
  layers: number;
  width: number;
  hidden: number;
  /** Elements of a patch, for image towers. */
  patchColumns?: number;
}

/** `published`: as each family's published code; `fan_in`: standard deviations by the width, for small models. */
export type InitScheme = "published" | "fan_in";

export const zeros: Initializer = { kind: "constant", value: 0 };
export const ones: Initializer = { kind: "constant", value: 1 };

/** Truncated at two standard deviations, as is usual. */
const CUT = 2;

function normal(std: number): Initializer {
  return { kind: "normal", std };
}

/** A normal with the standard deviation of PyTorch's default, uniform in ± 1 / √fanIn. */
function likeUniform(fanIn: number): Initializer {
  return normal(1 / Math.sqrt(3 * fanIn));
}

/** EVA's image towers: 0.02 for every matrix, branches scaled down by depth, a head close to zero. */
export function evaImageInitialization({ patchColumns = 1 }: TowerSize): Initialization {
  const std = 0.02;
  return {
    block: (index) => {
      const output = normal(std / Math.sqrt(2 * (index + 1)));
      return { qkv: normal(std), attentionOutput: output, hidden: normal(std), mlpOutput: output };
    },
    token: normal(std),
    positions: normal(std),
    patches: likeUniform(patchColumns),
    head: normal(std * 0.001),
  };
}

/** OpenAI CLIP's image tower. */
export function clipImageInitialization({ width, hidden, patchColumns = 1 }: TowerSize): Initialization {
  const scaled = normal(width ** -0.5);
  return {
    block: () => ({
      qkv: normal((2 * width) ** -0.5),
      attentionOutput: likeUniform(width),
      hidden: likeUniform(width),
      mlpOutput: likeUniform(hidden),
    }),
    token: scaled,
    positions: scaled,
    patches: likeUniform(patchColumns),
    head: scaled,
  };
}

/** CLIP's text tower (Radford et al. 2021, section 2.4). */
export function textInitialization({ layers, width }: TowerSize): Initialization {
  const output = normal(width ** -0.5 * (2 * layers) ** -0.5);
  const block = {
    qkv: normal(width ** -0.5),
    attentionOutput: output,
    hidden: normal((2 * width) ** -0.5),
    mlpOutput: output,
  };
  return {
    block: () => block,
    token: normal(0.02),
    positions: normal(0.01),
    patches: zeros,
    head: normal(width ** -0.5),
  };
}

/** Standard deviations that keep the scale of activations at any width; with 0.02 a tower of width 128 learns slowly. */
export function fanInInitialization(size: TowerSize, positionStd: number): Initialization {
  const { layers, width, hidden, patchColumns = 1 } = size;
  const cut = (fanIn: number, branches = 1): Initializer => ({
    kind: "normal",
    std: (fanIn * branches) ** -0.5,
    cut: CUT,
  });
  const block = {
    qkv: cut(width),
    attentionOutput: cut(width, 2 * layers),
    hidden: cut(width),
    mlpOutput: cut(hidden, 2 * layers),
  };
  return {
    block: () => block,
    token: normal(0.02),
    positions: normal(positionStd),
    patches: cut(patchColumns),
    head: cut(width),
  };
}
