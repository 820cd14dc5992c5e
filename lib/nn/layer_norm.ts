import { layerNorm, rmsNorm } from "../ops/layer_norm";
import { Parameter } from "../parameter";
import type { Tensor } from "../tensor";
import { ones, zeros } from "./initialization";
import { Module } from "./module";

/** A norm over the last axis. [..., width] → [..., width] */
export interface Norm extends Module {
  /** The normalised x, plus the residual when there is one. */
  forward(x: Tensor, residual?: Tensor): Tensor;
}

/** Layer norm with its weight at `name.weight` and its bias at `name.bias`. */
export class LayerNorm extends Module implements Norm {
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

  forward(x: Tensor, residual?: Tensor): Tensor {
    return layerNorm(x, this.weight, this.bias, { eps: this.eps, residual });
  }
}

/** RMS norm with its weight at `name.weight`. */
export class RmsNorm extends Module implements Norm {
  readonly weight: Parameter; // [width]

  constructor(
    name: string,
    width: number,
    readonly eps: number,
  ) {
    super();
    this.weight = new Parameter(`${name}.weight`, [width], ones);
  }

  forward(x: Tensor, residual?: Tensor): Tensor {
    return rmsNorm(x, this.weight, { eps: this.eps, residual });
  }
}
