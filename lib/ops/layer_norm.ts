import { checkArgument, finiteNumber, options } from "../arguments";
import { anOperand, apply, type GradientRule, type Operand, type Tensor } from "../tensor";

export interface LayerNormOptions {
  /** Added to the variance before the square root. */
  eps?: number;
  /** [..., C], added to the normalized value, as in post-norm blocks. */
  residual?: Operand | undefined;
}

const normOptions = options({ eps: finiteNumber.min(0).optional(), residual: anOperand.optional() });

/**
 * Layer norm over the last axis (Ba et al. 2016, section 3), plus the optional residual.
 * x [..., C], weight [C] f32, bias [C] f32 → [..., C]
 */
export function layerNorm(x: Operand, weight: Operand, bias: Operand, given: LayerNormOptions = {}): Tensor {
  checkArgument("ops.layerNorm: options", given, normOptions);
  const { eps = 1e-6, residual } = given;
  const inputs = { x, weight, bias, residual };
  const gradient: GradientRule<"mean" | "rstd"> = (dy, { mean, rstd }, accumulated) => {
    const backward = apply("layer_norm_backward", { dy, x, weight, mean, rstd, residual: accumulated });
    return { x: backward.dx, weight: backward.dweight, bias: backward.dbias, residual: dy };
  };
  return apply("layer_norm", inputs, { eps }, gradient, "x").y;
}

/**
 * RMS norm over the last axis, x weight / sqrt(mean(x²) + eps) (Zhang and Sennrich 2019), plus the optional residual.
 * x [..., C], weight [C] f32 → [..., C]
 */
export function rmsNorm(x: Operand, weight: Operand, given: LayerNormOptions = {}): Tensor {
  checkArgument("ops.rmsNorm: options", given, normOptions);
  const { eps = 1e-6, residual } = given;
  const attributes = { eps, centered: false };
  const gradient: GradientRule<"rstd"> = (dy, { rstd }, accumulated) => {
    const backward = apply("layer_norm_backward", { dy, x, weight, rstd, residual: accumulated });
    return { x: backward.dx, weight: backward.dweight, residual: dy };
  };
  return apply("layer_norm", { x, weight, residual }, attributes, gradient, "x").y;
}
