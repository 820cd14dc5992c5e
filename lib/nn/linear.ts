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
  /** What a device holds of the inputs and the outputs, with zeros behind the rest; default no more than there are. */
  storedInputs?: number;
  storedOutputs?: number;
}

/** x Wᵀ + b, with W at `name.weight` and b at `name.bias`. [..., inputs] → [..., outputs] */
export class Linear extends Module {
  readonly weight: Parameter; // [outputs, inputs]
  readonly bias: Parameter | null; // [outputs]

  constructor(name: string, { inputs, outputs, init, bias = true, ...stored }: LinearShape) {
    super();
    const { storedInputs = inputs, storedOutputs = outputs } = stored;
    this.weight = new Parameter(`${name}.weight`, [outputs, inputs], init, [storedOutputs, storedInputs]);
    this.bias = bias ? new Parameter(`${name}.bias`, [outputs], zeros, [storedOutputs]) : null;
  }

  forward(x: Tensor, options?: LinearOptions): Tensor {
    return linear(x, [this.weight], [this.bias], options);
  }
}
