import type { Block } from "../nn/block";
import { TokenEmbedding } from "../nn/embedding";
import { fanInInitialization, textInitialization } from "../nn/initialization";
import { LayerNorm } from "../nn/layer_norm";
import { Module } from "../nn/module";
import type { PackedTokens } from "../ops/embedding";
import { l2Normalize } from "../ops/l2_normalize";
import { gatherRows } from "../ops/layout";
import { matmul } from "../ops/linear";
import type { Parameter } from "../parameter";
import type { Operand, Tensor } from "../tensor";
import type { TextTowerConfig } from "./clip_config";
import { type TowerOptions, toFloat32 } from "./image_tower";
import { hiddenWidth } from "./mlp_width";
import type { Precision } from "./precision";
import { CLIP_EPS, residualBlock } from "./residual_block";

const FAN_IN_POSITION_STD = 0.01;

/** Captions packed one after another, each up to its end-of-text token, the last that can reach a causal tower's output. */
export interface PackedCaptions extends PackedTokens {
  /** [B] i32: the index of each caption's end-of-text token, whose row is pooled. */
  textEnds: Operand;
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

  constructor(config: TextTowerConfig, options: TowerOptions) {
    super();
    const { scope, embedDim, precision, activation } = options;
    const { width, heads, layers, context_length: contextLength, vocab_size: vocabulary } = config;
    this.contextLength = contextLength;
    this.vocabulary = vocabulary;
    this.precision = precision;
    const hidden = hiddenWidth(config);
    const size = { layers, width, hidden };
    const init =
      options.init === "fan_in" ? fanInInitialization(size, FAN_IN_POSITION_STD) : textInitialization(size);
    const head = { initial: init.head, decays: true };
    this.projection = scope.at("", { layer: "head" }).parameter("text_projection", [width, embedDim], head);
    const embedded = { vocabulary, contextLength, width, init };
    this.embedding = new TokenEmbedding(scope.at("", { layer: "embedding" }), embedded);
    const shape = { width, heads, hidden, init, activation };
    this.blocks = Array.from({ length: layers }, (_, i) => residualBlock(scope, i, shape));
    this.norm = new LayerNorm(scope.at("ln_final", { layer: "final_norm" }), width, CLIP_EPS);
  }

  /** → [B, E] f32, not normalized */
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

  /** → [B, E] f32, of unit length */
  encode(captions: PackedCaptions): Tensor {
    return l2Normalize(this.features(captions));
  }
}
