import { checkArgument, finiteNumber, options, wholeNumber } from "../arguments";
import { anOperand, apply, Graph, type Operand, record, type Tensor } from "../tensor";

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
  return record(
    "swiglu",
    { x, weight, bias },
    { eps, columns },
    {
      recomputes: true,
      gradient: (dy, { y, mean, rstd }) => {
        const affine = norm ? { weight, bias, mean, rstd } : {};
        const backward = apply("swiglu_backward", { dy, x, ...affine }, { columns });
        Graph.current.recomputed.set(y, backward.y);
        const { dx, dweight, dbias } = backward;
        return norm ? { x: dx, weight: dweight, bias: dbias } : { x: dx };
      },
    },
  ).y;
}
