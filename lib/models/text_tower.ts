import type { Block } from "../nn/block";
import { TokenEmbedding } from "../nn/embedding";
import { fanInInitialization, textInitialization } from "../nn/initialization";
import { LayerNorm } from "../nn/layer_norm";
import { Module } from "../nn/module";
import type { Precision } from "./precision";
import type { PackedTokens } from "../ops/embedding";
import { l2Normalize } from "../ops/l2_normalize";
import { gatherRows } from "../ops/layout";
import { type Activation, matmul } from "../ops/linear";
import { Parameter } from "../parameter";
import type { Operand, Tensor } from "../tensor";
import type { TextConfig } from "./clip_config";
import { type TowerOptions, toFloat32 } from "./image_tower";
import { CLIP_EPS, residualBlock } from "./residual_block";

const FAN_IN_POSITION_STD = 0.01;

/** Captions packed one after another; what comes after an end of text cannot reach the output of a causal tower. */
export interface PackedCaptions extends PackedTokens {
  /** [B] i32: the place of each caption's end of text, where the tower is read. */
  textEnds: Operand;
}

export interface TextTowerOptions extends TowerOptions {
  /** What the keys begin with. */
  prefix: string;
  activation: Activation;
}

/** CLIP's causal text tower (Radford et al. 2021, section 2.4), on packed captions. */
export class TextTower extends Module {
  readonly contextLength: number;
  readonly vocabulary: number;
  readonly precision: Precision;
  private readonly projection: Parameter; // [width, embedDim]
  private readonly embedding: TokenEmbedding;
  private readonly blocks: readonly Block[];
  private readonly norm: LayerNorm;

  constructor(
    config: TextConfig,
    { prefix, embedDim, precision, init: scheme, activation }: TextTowerOptions,
  ) {
    super();
    const { width, heads, layers, context_length: contextLength, vocab_size: vocabulary } = config;
    this.contextLength = contextLength;
    this.vocabulary = vocabulary;
    this.precision = precision;
    const hidden = Math.trunc(width * config.mlp_ratio);
    const size = { layers, width, hidden };
    const init =
      scheme === "fan_in" ? fanInInitialization(size, FAN_IN_POSITION_STD) : textInitialization(size);
    this.projection = new Parameter(`${prefix}text_projection`, [width, embedDim], init.head);
    this.embedding = new TokenEmbedding(prefix, { vocabulary, contextLength, width, init });
    const shape = { width, heads, hidden, init, activation };
    this.blocks = Array.from({ length: layers }, (_, i) => residualBlock(prefix, i, shape));
    this.norm = new LayerNorm(`${prefix}ln_final`, width, CLIP_EPS);
  }

  /** The embeddings of captions before normalisation. → [B, E] f32 */
  features({ tokens, cuSeqlens, textEnds }: PackedCaptions): Tensor {
    const context = { cuSeqlens, causal: true };
    const ends = (x: Tensor) => gatherRows(x, textEnds);
    const last = this.blocks.length - 1;
    let x = this.embedding.forward({ tokens, cuSeqlens }, this.precision);
    this.blocks.forEach((block, i) => {
      x = block.forward(x, context, i === last ? ends : undefined);
    });
    return matmul(this.norm.forward(toFloat32(x)), this.projection);
  }

  /** The embeddings of captions, of unit length. → [B, E] f32 */
  encode(captions: PackedCaptions): Tensor {
    return l2Normalize(this.features(captions));
  }
}
