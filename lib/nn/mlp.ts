import type { Activation } from "../ops/linear";
import type { Tensor } from "../tensor";
import type { BlockInitialization } from "./initialization";
import { Linear } from "./linear";
import { Module } from "./module";
import { storedColumns } from "./padding";

export interface MlpShape {
  width: number;
  hidden: number;
  /** The hidden columns that a device holds: those behind the first `hidden` are and stay 0. Default `storedColumns`. */
  storedHidden?: number;
  init: BlockInitialization;
}

/** The names of the two projections: fc1 and fc2 in EVA's towers, c_fc and c_proj in CLIP's. */
export type MlpNames = readonly [input: string, output: string];

/** W₂ act(W₁ x + b₁) + b₂. [..., width] → [..., width] */
export class Mlp extends Module {
  readonly input: Linear; // [hidden, width]
  readonly output: Linear; // [width, hidden]

  constructor(
    names: MlpNames,
    { width, hidden, init, storedHidden = storedColumns(hidden) }: MlpShape,
    readonly activation: Activation,
  ) {
    super();
    this.input = new Linear(names[0], {
      inputs: width,
      outputs: hidden,
      init: init.hidden,
      storedOutputs: storedHidden,
    });
    this.output = new Linear(names[1], {
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
