import { checkArgument, flag, listOf, oneOf, options, ownArgument } from "../arguments";
import { anOperand, apply, checkOperands, Graph, type Operand, operandList, type Tensor } from "../tensor";
import { cast, type FloatDType, geluBackward, quickGeluBackward } from "./elementwise";

export type Activation = "none" | "gelu" | "quick_gelu";

export interface LinearOptions {
  activation?: Activation;
  /** [..., N], added to the result. */
  residual?: Operand | undefined;
}

const biasList = listOf(anOperand.nullable(), "a list of tensors, parameters and nulls");
const linearOptions = options({
  activation: oneOf("none", "gelu", "quick_gelu").optional(),
  residual: anOperand.optional(),
});
const matmulOptions = options({ transposeA: flag.optional(), transposeB: flag.optional() });

/** The weight in the dtype of x: f32 weights are converted for bf16 activations. */
function convertedWeight(x: Operand, weight: Operand): Operand {
  if (weight.dtype === x.dtype) return weight;
  const { conversions } = Graph.current;
  const copy = conversions.get(weight) ?? cast(weight, x.dtype as FloatDType);
  conversions.set(weight, copy);
  return copy;
}

function activationBackward(activation: Activation, dy: Tensor, pre: Tensor): Tensor {
  if (activation === "gelu") return geluBackward(dy, pre);
  return activation === "quick_gelu" ? quickGeluBackward(dy, pre) : dy;
}

/**
 * act(x Wᵀ + b) + residual, where W stacks the rows of `weights` and b their biases: several projections of
 * one input are one op. x [..., K], weights [N_i, K], biases [N_i] f32 (any of them null, or none given)
 * → [..., sum N_i]
 */
export function linear(
  x: Operand,
  givenWeights: readonly Operand[],
  givenBiases: readonly (Operand | null)[] = [],
  given: LinearOptions = {},
): Tensor {
  checkOperands("linear", { x });
  const weights = ownArgument("ops.linear: weights", givenWeights, operandList);
  const biases = ownArgument("ops.linear: biases", givenBiases, biasList);
  checkArgument("ops.linear: options", given, linearOptions);
  const { activation = "none", residual } = given;
  const typed = weights.map((weight) => convertedWeight(x, weight));
  const { y } = apply("linear", { x, weights: typed, biases, residual }, { activation }, (dy, outputs) => {
    const dpre = activationBackward(activation, dy, outputs.pre);
    const gradients = weightGradients(dpre, x, weights);
    return {
      x: apply("linear_input_gradient", { dy: dpre, weights: typed }).dx,
      weights: gradients.map(({ dweight }) => dweight),
      biases: biases.map((bias, i) => (bias ? gradients[i]!.dbias : null)),
      residual: dy,
    };
  });
  return y;
}

/** dweight and dbias of each of the stacked weights, from its own columns of dy. */
function weightGradients(
  dy: Tensor,
  x: Operand,
  weights: readonly Operand[],
): Record<"dweight" | "dbias", Tensor>[] {
  let end = 0;
  return weights.map((weight) => {
    const begin = end;
    end += Graph.current.resolve(weight).shape[0]!;
    return apply("linear_weight_gradient", { dy, x }, { begin, end });
  });
}

export interface MatmulOptions {
  transposeA?: boolean;
  transposeB?: boolean;
}

/**
 * The product of two matrices, or of equal batches of them, each optionally transposed first.
 * a [..., M, K], b [..., K, N] → [..., M, N]
 */
export function matmul(a: Operand, b: Operand, given: MatmulOptions = {}): Tensor {
  checkOperands("matmul", { a, b });
  checkArgument("ops.matmul: options", given, matmulOptions);
  const { transposeA = false, transposeB = false } = given;
  const right = convertedWeight(a, b);
  const attributes = { transpose_a: transposeA, transpose_b: transposeB };
  const { y } = apply("matmul", { a, b: right }, attributes, (dy) => ({
    a: transposeA
      ? matmul(right, dy, { transposeA: transposeB, transposeB: true })
      : matmul(dy, right, { transposeB: !transposeB }),
    b: transposeB
      ? matmul(dy, a, { transposeA: true, transposeB: transposeA })
      : matmul(a, dy, { transposeA: !transposeA }),
  }));
  return y;
}
