import type { FloatDType } from "../ops/elementwise";
import { embedding, type PackedTokens } from "../ops/embedding";
import type { Parameter } from "../parameter";
import type { Tensor } from "../tensor";
import type { Initialization } from "./initialization";
import { Module } from "./module";
import type { Scope } from "./scope";

export interface TokenEmbeddingShape {
  vocabulary: number;
  contextLength: number;
  width: number;
  init: Initialization;
}

/** Token plus position embeddings of packed captions, with CLIP's keys. */
export class TokenEmbedding extends Module {
  readonly positions: Parameter; // [L, width]
  readonly table: Parameter; // [V, width]

  constructor(scope: Scope, { vocabulary, contextLength, width, init }: TokenEmbeddingShape) {
    super();
    this.positions = scope.parameter("positional_embedding", [contextLength, width], {
      initial: init.positions,
      resize: { kind: "context" },
    });
    const table = { initial: init.token, decays: true, bf16: true };
    this.table = scope.parameter("token_embedding.weight", [vocabulary, width], table);
  }

  /** → [T, width] of `type`. A caption longer than the context fails when the program runs. */
  forward(text: PackedTokens, type: FloatDType): Tensor {
    return embedding(text, this.table, this.positions, type);
  }
}
