import { type LinearOptions, linear } from "../ops/linear";
import { type Initializer, Parameter } from "../parameter";
import type { Tensor } from "../tensor";
import { zeros } from "./initialization";
import { Module } from "./module";

export interface LinearShape {
  inputs: number;
  outputs: number;
  init: Initializer;
  bias?: boolean;
}

/** x Wᵀ + b, with W at `name.weight` and b at `name.bias`. [..., inputs] → [..., outputs] */
export class Linear extends Module {
  readonly weight: Parameter; // [outputs, inputs]
  readonly bias: Parameter | null; // [outputs]

  constructor(name: string, { inputs, outputs, init, bias = true }: LinearShape) {
    super();
    this.weight = new Parameter(`${name}.weight`, [outputs, inputs], init);
    this.bias = bias ? new Parameter(`${name}.bias`, [outputs], zeros) : null;
  }

  forward(x: Tensor, options?: LinearOptions): Tensor {
    return linear(x, [this.weight], [this.bias], options);
  }
}
