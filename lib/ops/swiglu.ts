import { checkArgument, finiteNumber, options, wholeNumber } from "../arguments";
import { anOperand, apply, type Operand, type Tensor } from "../tensor";

/** The affine part of a sub-layer norm. */
export interface SubNorm {
  /** [F] f32 */
  weight: Operand;
  /** [F] f32 */
  bias: Operand;
  /** Added to the variance before the square root. */
  eps?: number;
  /** Columns to normalize; the rest is padding, zero in x, weight and bias. Default F. */
  columns?: number;
}

const subNorm = options({
  weight: anOperand,
  bias: anOperand,
  eps: finiteNumber.min(0).optional(),
  columns: wholeNumber.optional(),
}).optional();

/**
 * silu(gate) ∘ value (Shazeer 2020), followed by layer norm if `norm` is given: EVA-02's sub-LN.
 * x [..., 2 F] (gate, then value) → [..., F]
 */
export function swiglu(x: Operand, norm?: SubNorm): Tensor {
  checkArgument("ops.swiglu: norm", norm, subNorm);
  const { weight, bias, eps = 1e-6, columns } = norm ?? {};
  const { y } = apply("swiglu", { x, weight, bias }, { eps, columns }, (dy, { mean, rstd }) => {
    const statistics = norm ? { weight, mean, rstd } : {};
    const { dx, dweight, dbias } = apply("swiglu_backward", { dy, x, ...statistics }, { columns });
    return norm ? { x: dx, weight: dweight, bias: dbias } : { x: dx };
  });
  return y;
}
