import type { Activation } from "../ops/linear";
import type { Tensor } from "../tensor";
import type { BlockInitialization } from "./initialization";
import { Linear } from "./linear";
import { Module } from "./module";
import { storedColumns } from "./padding";
import type { Scope } from "./scope";

export interface MlpShape {
  width: number;
  hidden: number;
  /** Padded number of hidden columns, zero beyond `hidden`. Default `storedColumns`. */
  storedHidden?: number;
  init: BlockInitialization;
}

/** The keys of the two projections: fc1 and fc2 in EVA's towers, c_fc and c_proj in CLIP's. */
export type MlpKeys = readonly [input: string, output: string];

/** W₂ act(W₁ x + b₁) + b₂. [..., width] → [..., width] */
export class Mlp extends Module {
  readonly input: Linear; // [hidden, width]
  readonly output: Linear; // [width, hidden]

  constructor(
    scope: Scope,
    [input, output]: MlpKeys,
    { width, hidden, init, storedHidden = storedColumns(hidden) }: MlpShape,
    readonly activation: Activation,
  ) {
    super();
    this.input = new Linear(scope.at(input), {
      inputs: width,
      outputs: hidden,
      init: init.hidden,
      storedOutputs: storedHidden,
    });
    this.output = new Linear(scope.at(output), {
      inputs: hidden,
      outputs: width,
      init: init.mlpOutput,
      storedInputs: storedHidden,
    });
  }

  forward(x: Tensor, residual?: Tensor): Tensor {
    return this.output.forward(this.input.forward(x, { activation: this.activation }), { residual });
  }
}
