import { checkArgument, finiteNumber, options } from "../arguments";
import { anOperand, apply, Graph, type Operand, record, type Tensor } from "../tensor";

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
  return norm({ x, weight, bias, residual }, { eps });
}

/**
 * RMS norm over the last axis, x weight / sqrt(mean(x²) + eps) (Zhang and Sennrich 2019), plus the optional residual.
 * x [..., C], weight [C] f32 → [..., C]
 */
export function rmsNorm(x: Operand, weight: Operand, given: LayerNormOptions = {}): Tensor {
  checkArgument("ops.rmsNorm: options", given, normOptions);
  const { eps = 1e-6, residual } = given;
  return norm({ x, weight, residual }, { eps, centered: false });
}

interface NormInputs {
  x: Operand;
  weight: Operand;
  bias?: Operand;
  residual: Operand | undefined;
}

/** The backward op recomputes the result, unless a residual is part of it. */
function norm(inputs: NormInputs, attributes: { eps: number; centered?: boolean }): Tensor {
  const { x, weight, bias, residual } = inputs;
  const isCentered = attributes.centered ?? true;
  return record("layer_norm", { ...inputs }, attributes, {
    accumulates: "x",
    recomputes: residual === undefined,
    gradient: (dy, { y, mean, rstd }, accumulated) => {
      const statistics = isCentered ? { mean, rstd } : { rstd };
      const given = { dy, x, weight, bias, ...statistics, residual: accumulated };
      const backward = apply("layer_norm_backward", given);
      if (residual === undefined) Graph.current.recomputed.set(y, backward.y);
      return { x: backward.dx, weight: backward.dweight, bias: bias && backward.dbias, residual: dy };
    },
  }).y;
}
