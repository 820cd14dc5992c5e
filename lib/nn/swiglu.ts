import { linear } from "../ops/linear";
import { type SubNorm, swiglu } from "../ops/swiglu";
import type { Parameter } from "../parameter";
import { stackParameters } from "../parameter_stack";
import type { Tensor } from "../tensor";
import { ones, zeros } from "./initialization";
import { Linear } from "./linear";
import type { MlpShape } from "./mlp";
import { Module } from "./module";
import { storedColumns } from "./padding";
import type { Scope } from "./scope";

/** The parameters of the inner norm, which the swiglu op computes. */
class HiddenNorm extends Module implements SubNorm {
  readonly weight: Parameter; // [columns]
  readonly bias: Parameter; // [columns]

  constructor(
    scope: Scope,
    readonly columns: number,
    stored: number,
    readonly eps: number,
  ) {
    super();
    this.weight = scope.parameter("weight", [columns], { initial: ones, storedShape: [stored] });
    this.bias = scope.parameter("bias", [columns], { initial: zeros, storedShape: [stored] });
  }
}

/** W₃ LN(silu(W₁ x + b₁) ∘ (W₂ x + b₂)) + b₃, without the norm unless `subNorm`. [..., width] → [..., width] */
export class SwiGlu extends Module {
  readonly gate: Linear; // [hidden, width]
  readonly value: Linear; // [hidden, width]
  readonly norm: HiddenNorm | null; // [hidden]
  readonly output: Linear; // [width, hidden]

  constructor(scope: Scope, shape: MlpShape, options: { subNorm: boolean; eps: number }) {
    super();
    const { width, hidden, init, storedHidden = storedColumns(hidden) } = shape;
    const wide = { inputs: width, outputs: hidden, init: init.hidden, storedOutputs: storedHidden };
    this.gate = new Linear(scope.at("w1"), wide);
    this.value = new Linear(scope.at("w2"), wide);
    const { gate, value } = this;
    stackParameters([gate.weight, value.weight]);
    if (gate.bias && value.bias) stackParameters([gate.bias, value.bias]);
    this.norm = options.subNorm
      ? new HiddenNorm(scope.at("ffn_ln"), hidden, storedHidden, options.eps)
      : null;
    const narrow = { inputs: hidden, outputs: width, init: init.mlpOutput, storedInputs: storedHidden };
    this.output = new Linear(scope.at("w3"), narrow);
  }

  forward(x: Tensor, residual?: Tensor): Tensor {
    const { gate, value, norm } = this;
    const gateAndValue = linear(x, [gate.weight, value.weight], [gate.bias, value.bias]);
    return this.output.forward(swiglu(gateAndValue, norm ?? undefined), { residual });
  }
}
