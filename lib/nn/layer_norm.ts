import { layerNorm, rmsNorm } from "../ops/layer_norm";
import type { Parameter } from "../parameter";
import type { Tensor } from "../tensor";
import { ones, zeros } from "./initialization";
import { Module } from "./module";
import type { Scope } from "./scope";

/** A norm over the last axis. [..., width] → [..., width] */
export interface Norm extends Module {
  /** The normalized x, plus the optional residual. */
  forward(x: Tensor, residual?: Tensor): Tensor;
}

/** Layer norm, with `weight` and `bias`. [..., width] → [..., width] */
export class LayerNorm extends Module implements Norm {
  readonly weight: Parameter; // [width]
  readonly bias: Parameter; // [width]

  constructor(
    scope: Scope,
    width: number,
    readonly eps: number,
  ) {
    super();
    this.weight = scope.parameter("weight", [width], { initial: ones });
    this.bias = scope.parameter("bias", [width], { initial: zeros });
  }

  forward(x: Tensor, residual?: Tensor): Tensor {
    return layerNorm(x, this.weight, this.bias, { eps: this.eps, residual });
  }
}

/** RMS norm, with `weight`. [..., width] → [..., width] */
export class RmsNorm extends Module implements Norm {
  readonly weight: Parameter; // [width]

  constructor(
    scope: Scope,
    width: number,
    readonly eps: number,
  ) {
    super();
    this.weight = scope.parameter("weight", [width], { initial: ones });
  }

  forward(x: Tensor, residual?: Tensor): Tensor {
    return rmsNorm(x, this.weight, { eps: this.eps, residual });
  }
}
