import { type LinearOptions, linear } from "../ops/linear";
import type { Initializer, Parameter } from "../parameter";
import type { Tensor } from "../tensor";
import { zeros } from "./initialization";
import { Module } from "./module";
import type { Scope } from "./scope";

export interface LinearShape {
  inputs: number;
  outputs: number;
  init: Initializer;
  bias?: boolean;
  /** Padded storage sizes, zero beyond `inputs` and `outputs`. Default: no padding. */
  storedInputs?: number;
  storedOutputs?: number;
}

/** Role of weight matrices: weight decay applies, and inference may store them in bf16. */
export const MATRIX = { decays: true, bf16: true } as const;

/** x Wᵀ + b, with `weight` and `bias`. [..., inputs] → [..., outputs] */
export class Linear extends Module {
  readonly weight: Parameter; // [outputs, inputs]
  readonly bias: Parameter | null; // [outputs]

  constructor(scope: Scope, { inputs, outputs, init, bias = true, ...stored }: LinearShape) {
    super();
    const { storedInputs = inputs, storedOutputs = outputs } = stored;
    const matrix = { initial: init, storedShape: [storedOutputs, storedInputs], ...MATRIX };
    this.weight = scope.parameter("weight", [outputs, inputs], matrix);
    const vector = { initial: zeros, storedShape: [storedOutputs] };
    this.bias = bias ? scope.parameter("bias", [outputs], vector) : null;
  }

  forward(x: Tensor, options?: LinearOptions): Tensor {
    return linear(x, [this.weight], [this.bias], options);
  }
}
