import { linear } from "../ops/linear";
import { type SubNorm, swiglu } from "../ops/swiglu";
import { Parameter } from "../parameter";
import type { Tensor } from "../tensor";
import { ones, zeros } from "./initialization";
import { Linear } from "./linear";
import type { MlpShape } from "./mlp";
import { Module } from "./module";
import { storedColumns } from "./padding";

/** The parameters of the norm inside, which is part of the op. */
class HiddenNorm extends Module implements SubNorm {
  readonly weight: Parameter; // [columns]
  readonly bias: Parameter; // [columns]

  constructor(
    name: string,
    readonly columns: number,
    stored: number,
    readonly eps: number,
  ) {
    super();
    this.weight = new Parameter(`${name}.weight`, [columns], ones, [stored]);
    this.bias = new Parameter(`${name}.bias`, [columns], zeros, [stored]);
  }
}

/** W₃ LN(silu(W₁ x + b₁) ∘ (W₂ x + b₂)) + b₃, without the norm unless `subNorm`. [..., width] → [..., width] */
export class SwiGlu extends Module {
  readonly gate: Linear; // [hidden, width]
  readonly value: Linear; // [hidden, width]
  readonly norm: HiddenNorm | null; // [hidden]
  readonly output: Linear; // [width, hidden]

  constructor(name: string, shape: MlpShape, options: { subNorm: boolean; eps: number }) {
    super();
    const { width, hidden, init, storedHidden = storedColumns(hidden) } = shape;
    const wide = { inputs: width, outputs: hidden, init: init.hidden, storedOutputs: storedHidden };
    this.gate = new Linear(`${name}.w1`, wide);
    this.value = new Linear(`${name}.w2`, wide);
    this.norm = options.subNorm ? new HiddenNorm(`${name}.ffn_ln`, hidden, storedHidden, options.eps) : null;
    const narrow = { inputs: hidden, outputs: width, init: init.mlpOutput, storedInputs: storedHidden };
    this.output = new Linear(`${name}.w3`, narrow);
  }

  forward(x: Tensor, residual?: Tensor): Tensor {
    const { gate, value, norm } = this;
    const gateAndValue = linear(x, [gate.weight, value.weight], [gate.bias, value.bias]);
    return this.output.forward(swiglu(gateAndValue, norm ?? undefined), { residual });
  }
}
