import { type AttentionOptions, attention } from "../ops/attention";
import { concat } from "../ops/layout";
import { linear } from "../ops/linear";
import type { Parameter } from "../parameter";
import { stackParameters } from "../parameter_stack";
import { constant, type Operand, type Tensor } from "../tensor";
import { type BlockInitialization, zeros } from "./initialization";
import { LayerNorm } from "./layer_norm";
import { Linear, MATRIX } from "./linear";
import { Module } from "./module";
import type { Scope } from "./scope";

export interface AttentionShape {
  width: number;
  heads: number;
  init: BlockInitialization;
}

/** Describes the tokens of a batch to attention: the same for every block of a tower. */
export type AttentionContext = Omit<AttentionOptions, "heads">;

/** Selects the rows that the tower's output reads. [B, N, C] or [T, C] → [B, C] */
export type RowSelection = (x: Tensor) => Tensor;

export interface AttentionOutput {
  /** Applied to the mixed tokens, before the output projection. */
  rows?: RowSelection | undefined;
  /** Added to the result. */
  residual?: Tensor | undefined;
}

/** Multi-head self-attention; families differ in their projections. */
export abstract class SelfAttention extends Module {
  protected abstract readonly heads: number;
  /** [..., width] → [..., 3 width]: queries, keys and values. */
  protected abstract project(x: Tensor): Tensor;
  /** The output projection of the concatenated heads. [..., width] → [..., width] */
  protected abstract finish(x: Tensor, residual?: Tensor): Tensor;

  forward(x: Tensor, context: AttentionContext, { rows, residual }: AttentionOutput = {}): Tensor {
    const mixed = attention(this.project(x), { heads: this.heads, ...context });
    return this.finish(rows ? rows(mixed) : mixed, residual);
  }
}

/** Attention of CLIP's text tower and OpenAI's image tower: one packed projection, with biases. */
export class ClipAttention extends SelfAttention {
  readonly heads: number;
  readonly inWeight: Parameter; // [3 width, width]
  readonly inBias: Parameter; // [3 width]
  readonly output: Linear; // [width, width]

  constructor(scope: Scope, { width, heads, init }: AttentionShape) {
    super();
    this.heads = heads;
    this.inWeight = scope.parameter("in_proj_weight", [3 * width, width], { initial: init.qkv, ...MATRIX });
    this.inBias = scope.parameter("in_proj_bias", [3 * width], { initial: zeros });
    const shape = { inputs: width, outputs: width, init: init.attentionOutput };
    this.output = new Linear(scope.at("out_proj"), shape);
  }

  protected project(x: Tensor): Tensor {
    return linear(x, [this.inWeight], [this.inBias]);
  }

  protected finish(x: Tensor, residual?: Tensor): Tensor {
    return this.output.forward(x, { residual });
  }
}

export interface EvaAttentionShape extends AttentionShape {
  /** Queries and values have a bias; keys never do. */
  qkvBias: boolean;
  /** Separate projections, and a norm over the heads before the output projection (EVA-02's sub-LN). */
  subNorm: boolean;
  eps: number;
}

/** Attention of EVA's image towers. */
export class EvaAttention extends SelfAttention {
  readonly heads: number;
  readonly queryBias: Parameter | null; // [width]
  readonly valueBias: Parameter | null; // [width]
  readonly weights: readonly Parameter[]; // [3 width, width], or three of [width, width]
  readonly norm: LayerNorm | null; // [width]
  readonly output: Linear; // [width, width]

  constructor(scope: Scope, { width, heads, init, qkvBias, subNorm, eps }: EvaAttentionShape) {
    super();
    this.heads = heads;
    this.queryBias = qkvBias ? scope.parameter("q_bias", [width], { initial: zeros }) : null;
    this.valueBias = qkvBias ? scope.parameter("v_bias", [width], { initial: zeros }) : null;
    const matrix = { initial: init.qkv, ...MATRIX };
    this.weights = subNorm
      ? ["q", "k", "v"].map((part) => scope.parameter(`${part}_proj.weight`, [width, width], matrix))
      : [scope.parameter("qkv.weight", [3 * width, width], matrix)];
    if (subNorm) stackParameters(this.weights);
    if (subNorm && this.queryBias && this.valueBias) stackParameters([this.queryBias, width, this.valueBias]);
    this.norm = subNorm ? new LayerNorm(scope.at("inner_attn_ln"), width, eps) : null;
    const shape = { inputs: width, outputs: width, init: init.attentionOutput };
    this.output = new Linear(scope.at("proj"), shape);
  }

  protected project(x: Tensor): Tensor {
    return linear(x, this.weights, this.biases());
  }

  private biases(): readonly (Operand | null)[] {
    const { queryBias, valueBias, weights } = this;
    if (!queryBias || !valueBias) return [];
    if (weights.length === 3) return [queryBias, null, valueBias];
    const keyBias = constant(new Float32Array(queryBias.shape[0]!), queryBias.shape);
    return [concat([queryBias, keyBias, valueBias])];
  }

  protected finish(x: Tensor, residual?: Tensor): Tensor {
    return this.output.forward(this.norm ? this.norm.forward(x) : x, { residual });
  }
}
