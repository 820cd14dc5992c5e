import { checkArgument, oneOf } from "../arguments";
import {
  apply,
  checkOperands,
  numberAttribute,
  type Operand,
  operandList,
  shapeOf,
  type Tensor,
} from "../tensor";

export type FloatDType = "f32" | "bf16";

export const floatDtype = oneOf("f32", "bf16");

/** Sums `dy` over the dimensions along which an operand of a binary op was broadcast. */
function reduceTo(dy: Tensor, operand: Operand): Tensor {
  const kept = shapeOf(operand).length;
  return convert(kept < dy.shape.length ? apply("sum_leading", { x: dy }, { kept }).y : dy, operand.dtype);
}

/** Binary ops broadcast their second operand; for commutative ops, the larger one comes first. */
function largerFirst(a: Operand, b: Operand): [Operand, Operand] {
  return shapeOf(a).length >= shapeOf(b).length ? [a, b] : [b, a];
}

/** a + b; the shape of one is the other's or a suffix of it, and is broadcast. */
export function add(a: Operand, b: Operand): Tensor {
  checkOperands("add", { a, b });
  const [large, small] = largerFirst(a, b);
  const { y } = apply("add", { a: large, b: small }, {}, (dy) => ({
    a: convert(dy, large.dtype),
    b: reduceTo(dy, small),
  }));
  return y;
}

/** a - b; the shape of b is a's or a suffix of it, and is broadcast. */
export function subtract(a: Operand, b: Operand): Tensor {
  const { y } = apply("subtract", { a, b }, {}, (dy) => ({ a: dy, b: reduceTo(negate(dy), b) }));
  return y;
}

/** a · b elementwise, broadcast as in `add`. */
export function multiply(a: Operand, b: Operand): Tensor {
  checkOperands("multiply", { a, b });
  const [large, small] = largerFirst(a, b);
  const { y } = apply("multiply", { a: large, b: small }, {}, (dy) => ({
    a: multiply(dy, small),
    b: reduceTo(multiply(dy, large), small),
  }));
  return y;
}

/** a / b elementwise, broadcast as in `subtract`. */
export function divide(a: Operand, b: Operand): Tensor {
  const { y } = apply("divide", { a, b }, {}, (dy, outputs) => ({
    a: divide(dy, b),
    b: reduceTo(negate(divide(multiply(dy, outputs.y), b)), b),
  }));
  return y;
}

/** factor · x + offset */
export function scale(x: Operand, factor: number, offset = 0): Tensor {
  checkArgument("ops.scale: factor", factor, numberAttribute);
  const { y } = apply("scale", { x }, { factor, offset }, (dy) => ({ x: scale(dy, factor) }));
  return y;
}

/** -x */
export function negate(x: Operand): Tensor {
  return scale(x, -1);
}

/** x converted to another floating-point dtype; bf16 rounds to nearest even. */
export function cast(x: Operand, dtype: FloatDType): Tensor {
  checkArgument("ops.cast: type", dtype, floatDtype);
  const { y } = apply("cast", { x }, { type: dtype }, (dy) => ({ x: convert(dy, x.dtype) }));
  return y;
}

/** Writes f32 parameters into their bf16 copies, rounded to nearest even: copies[i] = parameters[i] in place. */
export function castUpdate(parameters: readonly Operand[], copies: readonly Operand[]): void {
  checkArgument("ops.castUpdate: parameters", parameters, operandList);
  checkArgument("ops.castUpdate: copies", copies, operandList);
  apply("cast_update", { parameters, copies });
}

/** x in this floating-point dtype; x itself if it already has it. */
export function convert(x: Tensor, dtype: string): Tensor {
  checkOperands("convert", { x });
  return x.dtype === dtype ? x : cast(x, dtype as FloatDType);
}

/** e^x */
export function exp(x: Operand): Tensor {
  const { y } = apply("exp", { x }, {}, (dy, outputs) => ({ x: multiply(dy, outputs.y) }));
  return y;
}

/** The natural logarithm of x. */
export function log(x: Operand): Tensor {
  const { y } = apply("log", { x }, {}, (dy) => ({ x: divide(dy, x) }));
  return y;
}

/** The square root of x. */
export function sqrt(x: Operand): Tensor {
  const { y } = apply("sqrt", { x }, {}, (dy, outputs) => ({ x: divide(scale(dy, 0.5), outputs.y) }));
  return y;
}

/** The hyperbolic tangent of x. */
export function tanh(x: Operand): Tensor {
  const { y } = apply("tanh", { x }, {}, (dy, outputs) => ({
    x: multiply(dy, scale(multiply(outputs.y, outputs.y), -1, 1)),
  }));
  return y;
}

/** 1 / (1 + e^-x) */
export function sigmoid(x: Operand): Tensor {
  const { y } = apply("sigmoid", { x }, {}, (dy, outputs) => ({
    x: multiply(dy, multiply(outputs.y, scale(outputs.y, -1, 1))),
  }));
  return y;
}

/** log(1 + e^x), without overflow. */
export function softplus(x: Operand): Tensor {
  const { y } = apply("softplus", { x }, {}, (dy) => ({ x: multiply(dy, sigmoid(x)) }));
  return y;
}

/** x Φ(x), the exact (erf) form (Hendrycks and Gimpel 2016). */
export function gelu(x: Operand): Tensor {
  const { y } = apply("gelu", { x }, {}, (dy) => ({ x: geluBackward(dy, x) }));
  return y;
}

/** dy times the derivative of `gelu` at x. */
export function geluBackward(dy: Operand, x: Operand): Tensor {
  return apply("gelu_backward", { dy, x }).dx;
}

/** x σ(1.702 x), the approximation that OpenAI's CLIP was trained with. */
export function quickGelu(x: Operand): Tensor {
  const { y } = apply("quick_gelu", { x }, {}, (dy) => ({ x: quickGeluBackward(dy, x) }));
  return y;
}

/** dy times the derivative of `quickGelu` at x. */
export function quickGeluBackward(dy: Operand, x: Operand): Tensor {
  return apply("quick_gelu_backward", { dy, x }).dx;
}
