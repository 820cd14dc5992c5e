import type { FloatDType } from "../ops/elementwise";
import { embedding, type PackedTokens } from "../ops/embedding";
import { Parameter } from "../parameter";
import type { Tensor } from "../tensor";
import type { Initialization } from "./initialization";
import { Module } from "./module";

export interface TokenEmbeddingShape {
  vocabulary: number;
  contextLength: number;
  width: number;
  init: Initialization;
}

/** Token plus position embeddings of packed captions, under CLIP's names. */
export class TokenEmbedding extends Module {
  readonly positions: Parameter; // [L, width]
  readonly table: Parameter; // [V, width]

  constructor(prefix: string, { vocabulary, contextLength, width, init }: TokenEmbeddingShape) {
    super();
    this.positions = new Parameter(`${prefix}positional_embedding`, [contextLength, width], init.positions);
    this.table = new Parameter(`${prefix}token_embedding.weight`, [vocabulary, width], init.token);
  }

  /** → [T, width] of `type`. A caption longer than the context is an error when the program runs. */
  forward(text: PackedTokens, type: FloatDType): Tensor {
    return embedding(text, this.table, this.positions, type);
  }
}
