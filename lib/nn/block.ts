import { checkpoint } from "../checkpoint";
import { add, multiply } from "../ops/elementwise";
import { dropPath } from "../ops/keep_tokens";
import type { Parameter } from "../parameter";
import { Graph, type Operand, type Tensor } from "../tensor";
import type { AttentionContext, RowSelection, SelfAttention } from "./attention";
import type { Norm } from "./layer_norm";
import { Module } from "./module";

export interface BlockParts {
  /** [width], layer scales of the two branches; null: none. */
  gamma1?: Parameter | null;
  gamma2?: Parameter | null;
  norm1: Norm;
  attention: SelfAttention;
  norm2: Norm;
  mlp: Module & { forward(x: Tensor, residual?: Tensor): Tensor };
  /** Norms come after their branch instead of before it. */
  postNorm?: boolean;
  /** The number of the block in its tower, from 0. */
  index: number;
  /** The probability with which a training sample skips a branch. */
  dropPathRate?: number;
}

export interface BlockContext extends AttentionContext {
  /** [2] i32 (seed, step), in training: enables stochastic depth. */
  seed?: Operand | undefined;
}

/** A branch of a block; adds the residual if one is given. */
type Branch = (residual?: Tensor) => Tensor;

/** A transformer block: x + γ₁ Attention(N₁ x), then x + γ₂ MLP(N₂ x); post-norm: x + γ₁ N₁(Attention x), … */
export class Block extends Module {
  private readonly gammas: readonly (Parameter | null)[];
  private readonly norm1: Norm;
  private readonly attention: SelfAttention;
  private readonly norm2: Norm;
  private readonly mlp: BlockParts["mlp"];
  private readonly postNorm: boolean;
  private readonly index: number;
  private readonly dropPathRate: number;

  constructor(parts: BlockParts) {
    super();
    this.gammas = [parts.gamma1 ?? null, parts.gamma2 ?? null];
    this.norm1 = parts.norm1;
    this.attention = parts.attention;
    this.norm2 = parts.norm2;
    this.mlp = parts.mlp;
    this.postNorm = parts.postNorm ?? false;
    this.index = parts.index;
    this.dropPathRate = parts.dropPathRate ?? 0;
  }

  /**
   * x [B, N, C] or [T, C] → the same shape; with `rows`, the selected rows [B, C]. Nothing after attention mixes tokens,
   * so the last block of a tower computes the rest for the pooled tokens alone.
   */
  forward(x: Tensor, context: BlockContext, rows?: RowSelection): Tensor {
    const transform = (input: Tensor) => this.transform(input, context, rows);
    return Graph.current.checkpointsBlocks ? checkpoint(transform, x) : transform(x);
  }

  private transform(x: Tensor, context: BlockContext, rows?: RowSelection): Tensor {
    const { seed, ...tokens } = context;
    const { norm1, norm2, attention, mlp } = this;
    const attend: Branch = this.postNorm
      ? (residual) => norm1.forward(attention.forward(x, tokens, { rows }), residual)
      : (residual) => attention.forward(norm1.forward(x), tokens, { rows, residual });
    const mixed = this.addBranch(0, rows ? rows(x) : x, attend, seed);
    const feed: Branch = this.postNorm
      ? (residual) => norm2.forward(mlp.forward(mixed), residual)
      : (residual) => mlp.forward(norm2.forward(mixed), residual);
    return this.addBranch(1, mixed, feed, seed);
  }

  /** x + γ · branch, with stochastic depth in training; a plain sum is fused into the branch's last op. */
  private addBranch(which: 0 | 1, x: Tensor, branch: Branch, seed?: Operand): Tensor {
    const gamma = this.gammas[which];
    const rate = seed ? this.dropPathRate : 0;
    if (!gamma && rate === 0) return branch(x);
    const scaled = gamma ? multiply(branch(), gamma) : branch();
    if (!seed || rate === 0) return add(x, scaled);
    return dropPath(scaled, { seed, rate, stream: 2 * this.index + which, residual: x });
  }
}
