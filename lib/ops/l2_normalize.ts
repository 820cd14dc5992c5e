import { checkArgument } from "../arguments";
import { apply, numberAttribute, type Operand, type Tensor } from "../tensor";

/** x / max(‖x‖, eps) over the last axis. [..., E] → [..., E] */
export function l2Normalize(x: Operand, eps = 1e-12): Tensor {
  checkArgument("ops.l2Normalize: eps", eps, numberAttribute);
  const { y } = apply("l2_normalize", { x }, { eps }, (dy, outputs) => ({
    x: apply("l2_normalize_backward", { dy, y: outputs.y, norm: outputs.norm }).dx,
  }));
  return y;
}
