import type { Parameter } from "../parameter";
import type { ClipConfig } from "./clip_config";
import type { ClipModel } from "./clip_model";

/** A quantity of each tower, and of the whole model. */
export interface PerTower {
  readonly image: number;
  readonly text: number;
  readonly total: number;
}

function elements(parameters: readonly Parameter[]): number {
  return parameters.reduce((sum, { size }) => sum + size, 0);
}

/** The parameters of a model; the total counts the logit scale too. */
export function parameterCounts(model: ClipModel): PerTower {
  return {
    image: elements(model.image.parameters()),
    text: elements(model.text.parameters()),
    total: elements(model.parameters()),
  };
}

interface Transformer {
  tokens: number;
  width: number;
  layers: number;
  /** Weights of the MLP of one block. */
  mlp: number;
}

/** Multiplications of a transformer: 4 C² and the MLP a token, 2 N C a token for scores and their use. */
function multiplications({ tokens, width, layers, mlp }: Transformer): number {
  return layers * tokens * (4 * width * width + mlp + 2 * tokens * width);
}

/**
 * GFLOPs of the forward pass of one image and of one caption of full length: two for each multiplication and
 * addition of the matrix products, all tokens through all blocks (the convention of open_clip's
 * docs/model_profile.csv, whose figures these are).
 */
export function forwardGflops(config: ClipConfig): PerTower {
  const { embed_dim: embedDim, vision_cfg: vision, text_cfg: text } = config;
  const patches = (vision.image_size / vision.patch_size) ** 2;
  const hidden = Math.trunc(vision.width * vision.mlp_ratio);
  const image =
    patches * 3 * vision.patch_size ** 2 * vision.width +
    multiplications({
      tokens: 1 + patches,
      width: vision.width,
      layers: vision.layers,
      mlp: (vision.naiveswiglu ? 3 : 2) * vision.width * hidden,
    }) +
    vision.width * embedDim;
  const caption =
    multiplications({
      tokens: text.context_length,
      width: text.width,
      layers: text.layers,
      mlp: 2 * text.width * Math.trunc(text.width * text.mlp_ratio),
    }) +
    text.width * embedDim;
  const gflops = (products: number) => (2 * products) / 1e9;
  return { image: gflops(image), text: gflops(caption), total: gflops(image + caption) };
}
