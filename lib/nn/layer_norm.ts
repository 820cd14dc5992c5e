import { layerNorm } from "../ops/layer_norm";
import { Parameter } from "../parameter";
import type { Tensor } from "../tensor";
import { ones, zeros } from "./initialization";
import { Module } from "./module";

/** Layer norm with its weight at `name.weight` and its bias at `name.bias`. [..., width] → [..., width] */
export class LayerNorm extends Module {
  readonly weight: Parameter; // [width]
  readonly bias: Parameter; // [width]

  constructor(
    name: string,
    width: number,
    readonly eps: number,
  ) {
    super();
    this.weight = new Parameter(`${name}.weight`, [width], ones);
    this.bias = new Parameter(`${name}.bias`, [width], zeros);
  }

  /** The normalised x, plus the residual when there is one. */
  forward(x: Tensor, residual?: Tensor): Tensor {
    return layerNorm(x, this.weight, this.bias, { eps: this.eps, residual });
  }
}
