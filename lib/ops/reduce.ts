import { checkArgument, wholeNumber } from "../arguments";
import { apply, checkOperands, type Operand, shapeOf, type Tensor } from "../tensor";
import { cast, type FloatDType, scale } from "./elementwise";

/** dx in the dtype of x: reductions accumulate in f32 for any dtype. */
function gradientFor(x: Operand, dx: Tensor): Tensor {
  return dx.dtype === x.dtype ? dx : cast(dx, x.dtype as FloatDType);
}

/** The sum of x over its leading dimensions; the last `kept` remain. [..., kept dimensions] → f32. */
export function sumLeading(x: Operand, kept: number): Tensor {
  checkArgument("ops.sumLeading: kept", kept, wholeNumber);
  const { y } = apply("sum_leading", { x }, { kept }, (dy) => ({ x: gradientFor(x, expand(dy, x)) }));
  return y;
}

/** The sum of x over its last dimension. [..., C] → [...] f32. */
export function sumLast(x: Operand): Tensor {
  const { y } = apply("sum_last", { x }, {}, (dy) => ({ x: gradientFor(x, expandLast(dy, x)) }));
  return y;
}

/** The sum of all elements, a scalar. */
export function sum(x: Operand): Tensor {
  return sumLeading(x, 0);
}

/** The mean of all elements, a scalar. */
export function mean(x: Operand): Tensor {
  checkOperands("mean", { x });
  return scale(sum(x), 1 / x.shape.reduce((size, dimension) => size * dimension, 1));
}

/** x broadcast along leading dimensions to the shape of `like`, of which its shape is a suffix. */
export function expand(x: Operand, like: Operand): Tensor {
  const { y } = apply("expand", { x, like }, {}, (dy) => ({
    x: gradientFor(x, sumLeading(dy, shapeOf(x).length)),
  }));
  return y;
}

/** x [...] broadcast along a new last dimension to the shape of `like` [..., C]. */
export function expandLast(x: Operand, like: Operand): Tensor {
  const { y } = apply("expand", { x, like }, { last: true }, (dy) => ({ x: gradientFor(x, sumLast(dy)) }));
  return y;
}

/** Softmax over the last dimension. */
export function softmax(x: Operand): Tensor {
  const { y } = apply("softmax", { x }, {}, (dy, outputs) => ({
    x: apply("softmax_backward", { dy, y: outputs.y }).dx,
  }));
  return y;
}

/** Log-softmax over the last dimension: x - log-sum-exp(x). */
export function logSoftmax(x: Operand): Tensor {
  const { y } = apply("log_softmax", { x }, {}, (dy, outputs) => ({
    x: apply("log_softmax_backward", { dy, y: outputs.y }).dx,
  }));
  return y;
}
