import { linear } from "../ops/linear";
import { swiglu } from "../ops/swiglu";
import type { Tensor } from "../tensor";
import { LayerNorm } from "./layer_norm";
import { Linear } from "./linear";
import type { MlpShape } from "./mlp";
import { Module } from "./module";

/** W₃ LN(silu(W₁ x + b₁) ∘ (W₂ x + b₂)) + b₃, without the norm unless `subNorm`. [..., width] → [..., width] */
export class SwiGlu extends Module {
  readonly gate: Linear; // [hidden, width]
  readonly value: Linear; // [hidden, width]
  readonly norm: LayerNorm | null; // [hidden]
  readonly output: Linear; // [width, hidden]

  constructor(name: string, { width, hidden, init }: MlpShape, options: { subNorm: boolean; eps: number }) {
    super();
    this.gate = new Linear(`${name}.w1`, { inputs: width, outputs: hidden, init: init.hidden });
    this.value = new Linear(`${name}.w2`, { inputs: width, outputs: hidden, init: init.hidden });
    this.norm = options.subNorm ? new LayerNorm(`${name}.ffn_ln`, hidden, options.eps) : null;
    this.output = new Linear(`${name}.w3`, { inputs: hidden, outputs: width, init: init.mlpOutput });
  }

  forward(x: Tensor, residual?: Tensor): Tensor {
    const { gate, value, norm } = this;
    const gateAndValue = linear(x, [gate.weight, value.weight], [gate.bias, value.bias]);
    return this.output.forward(swiglu(gateAndValue, norm ?? undefined), { residual });
  }
}
