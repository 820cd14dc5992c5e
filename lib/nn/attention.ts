import { type AttentionOptions, attention } from "../ops/attention";
import { concat } from "../ops/layout";
import { linear } from "../ops/linear";
import { Parameter } from "../parameter";
import { constant, type Operand, type Tensor } from "../tensor";
import { type BlockInitialization, zeros } from "./initialization";
import { LayerNorm } from "./layer_norm";
import { Linear } from "./linear";
import { Module } from "./module";

export interface AttentionShape {
  width: number;
  heads: number;
  init: BlockInitialization;
}

/** What the tokens of a batch are: the same for every block of a tower. */
export type AttentionContext = Omit<AttentionOptions, "heads">;

/** Keeps the rows that the tower's output reads: [B, N, C] or [T, C] → [B, C]. */
export type RowSelection = (x: Tensor) => Tensor;

export interface AttentionOutput {
  /** Applied as soon as the tokens are mixed. */
  rows?: RowSelection | undefined;
  /** Added to the result. */
  residual?: Tensor | undefined;
}

/** Multi-head self-attention; families differ in how they store the projections. */
export abstract class SelfAttention extends Module {
  protected abstract readonly heads: number;
  /** [..., width] → [..., 3 width]: queries, keys and values. */
  protected abstract project(x: Tensor): Tensor;
  /** The output projection, over the heads side by side. */
  protected abstract finish(x: Tensor, residual?: Tensor): Tensor;

  forward(x: Tensor, context: AttentionContext, { rows, residual }: AttentionOutput = {}): Tensor {
    const mixed = attention(this.project(x), { heads: this.heads, ...context });
    return this.finish(rows ? rows(mixed) : mixed, residual);
  }
}

/** Attention as CLIP's text tower and OpenAI's image tower store it: one packed projection, fully biased. */
export class ClipAttention extends SelfAttention {
  readonly heads: number;
  readonly inWeight: Parameter; // [3 width, width]
  readonly inBias: Parameter; // [3 width]
  readonly output: Linear; // [width, width]

  constructor(name: string, { width, heads, init }: AttentionShape) {
    super();
    this.heads = heads;
    this.inWeight = new Parameter(`${name}.in_proj_weight`, [3 * width, width], init.qkv);
    this.inBias = new Parameter(`${name}.in_proj_bias`, [3 * width], zeros);
    const shape = { inputs: width, outputs: width, init: init.attentionOutput };
    this.output = new Linear(`${name}.out_proj`, shape);
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

  constructor(name: string, { width, heads, init, qkvBias, subNorm, eps }: EvaAttentionShape) {
    super();
    this.heads = heads;
    this.queryBias = qkvBias ? new Parameter(`${name}.q_bias`, [width], zeros) : null;
    this.valueBias = qkvBias ? new Parameter(`${name}.v_bias`, [width], zeros) : null;
    this.weights = subNorm
      ? ["q", "k", "v"].map((part) => new Parameter(`${name}.${part}_proj.weight`, [width, width], init.qkv))
      : [new Parameter(`${name}.qkv.weight`, [3 * width, width], init.qkv)];
    this.norm = subNorm ? new LayerNorm(`${name}.inner_attn_ln`, width, eps) : null;
    this.output = new Linear(`${name}.proj`, { inputs: width, outputs: width, init: init.attentionOutput });
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
