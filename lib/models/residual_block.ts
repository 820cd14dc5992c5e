import { ClipAttention } from "../nn/attention";
import { Block } from "../nn/block";
import type { Initialization } from "../nn/initialization";
import { LayerNorm } from "../nn/layer_norm";
import { Mlp } from "../nn/mlp";
import type { Activation } from "../ops/linear";

/** The epsilon of every norm in CLIP's own towers. */
export const CLIP_EPS = 1e-5;

export interface ResidualBlockShape {
  width: number;
  heads: number;
  hidden: number;
  init: Initialization;
  activation: Activation;
}

/** Block `index` of a tower under `prefix`, with the names of OpenAI's CLIP. */
export function residualBlock(prefix: string, index: number, shape: ResidualBlockShape): Block {
  const { width, heads, hidden, activation } = shape;
  const name = `${prefix}transformer.resblocks.${index}`;
  const init = shape.init.block(index);
  return new Block({
    norm1: new LayerNorm(`${name}.ln_1`, width, CLIP_EPS),
    attention: new ClipAttention(`${name}.attn`, { width, heads, init }),
    norm2: new LayerNorm(`${name}.ln_2`, width, CLIP_EPS),
    mlp: new Mlp([`${name}.mlp.c_fc`, `${name}.mlp.c_proj`], { width, hidden, init }, activation),
    index,
  });
}
