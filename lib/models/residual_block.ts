import { ClipAttention } from "../nn/attention";
import { Block } from "../nn/block";
import type { Initialization } from "../nn/initialization";
import { LayerNorm } from "../nn/layer_norm";
import { Mlp } from "../nn/mlp";
import type { Scope } from "../nn/scope";
import type { Activation } from "../ops/linear";

/** The epsilon of every norm in OpenAI's towers. */
export const CLIP_EPS = 1e-5;

export interface ResidualBlockShape {
  width: number;
  heads: number;
  hidden: number;
  init: Initialization;
  activation: Activation;
}

/** Block `index` of a tower, with the keys of OpenAI's CLIP. */
export function residualBlock(tower: Scope, index: number, shape: ResidualBlockShape): Block {
  const { width, heads, hidden, activation } = shape;
  const scope = tower.at(`transformer.resblocks.${index}`, { layer: index });
  const init = shape.init.block(index);
  return new Block({
    norm1: new LayerNorm(scope.at("ln_1"), width, CLIP_EPS),
    attention: new ClipAttention(scope.at("attn"), { width, heads, init }),
    norm2: new LayerNorm(scope.at("ln_2"), width, CLIP_EPS),
    mlp: new Mlp(scope.at("mlp"), ["c_fc", "c_proj"], { width, hidden, init }, activation),
    index,
  });
}
