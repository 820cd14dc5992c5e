import { checkArgument, flag, invalidArgument, listOf, oneOf, options, ownArgument } from "../arguments";
import {
  anOperand,
  apply,
  checkOperands,
  constant,
  type Fields,
  Graph,
  type Operand,
  operandList,
  record,
  rowsView,
  shapeOf,
  type Tensor,
} from "../tensor";
import { convert, geluBackward, quickGeluBackward } from "./elementwise";

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

/** The weight in the dtype of x: f32 weights are converted for bf16 activations. Without a gradient. */
function convertedWeight(x: Operand, weight: Operand): Operand {
  if (weight.dtype === x.dtype) return weight;
  const { conversions } = Graph.current;
  const copy = conversions.get(weight) ?? record("cast", { x: weight }, { type: x.dtype }, {}).y;
  conversions.set(weight, copy);
  return copy;
}

/**
 * The rows of all `parts` as one tensor; null stands for `rows` of zeros. A view where they are a stack in memory, and
 * otherwise a copy. Without a gradient.
 */
function stacked(parts: readonly (Operand | null)[], rows: readonly number[]): Operand {
  if (parts.length === 1) return parts[0]!;
  const view = Graph.current.stacked(parts);
  if (view) return view;
  const xs = parts.map((part, i) => part ?? constant(new Float32Array(rows[i]!), [rows[i]!]));
  return record("concat", { xs }, {}, {}).y;
}

/** The rows of a stack's gradient that belong to each part. */
function unstacked(gradient: Tensor, rows: readonly number[]): Tensor[] {
  if (rows.length === 1) return [gradient];
  let end = 0;
  return rows.map((count) => {
    end += count;
    return rowsView(gradient, end - count, end);
  });
}

function activationBackward(activation: Activation, dy: Tensor, pre: Tensor): Tensor {
  if (activation === "gelu") return geluBackward(dy, pre);
  return activation === "quick_gelu" ? quickGeluBackward(dy, pre) : dy;
}

/**
 * act(x Wᵀ + b) + residual, where W stacks the rows of `weights` and b their biases: several projections of
 * one input are one GEMM. x [..., K], weights [N_i, K], biases [N_i] f32 (any of them null, or none given)
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
  checkStack(weights, biases);
  const { activation = "none", residual } = given;
  const rows = weights.map((weight) => shapeOf(weight)[0]!);
  const copies = x.dtype === "bf16" ? Graph.current.weightCopies?.of(weights) : undefined;
  const weight = convertedWeight(x, stacked(copies ?? weights, rows));
  const bias = biases.some((part) => part) ? stacked(biases, rows) : undefined;
  const input = Graph.current.resolve(x);
  const { y } = record(
    "linear",
    { x, weight, bias, residual },
    { activation },
    {
      to: { x, weights, biases, residual },
      gradient: (dy, outputs) => {
        const dpre = activationBackward(activation, dy, outputs.pre);
        const dx = apply("linear_input_gradient", { dy: dpre, weight }).dx;
        return {
          now: { x: dx, residual: dy },
          reads: input,
          record: (value) => parameterGradients(dpre, value, rows, biases),
        };
      },
    },
  );
  return y;
}

function checkStack(weights: readonly Operand[], biases: readonly (Operand | null)[]): void {
  if (weights.length === 0) throw invalidArgument("ops.linear: weights must hold at least one matrix");
  if (biases.length === 0 || biases.length === weights.length) return;
  throw invalidArgument("ops.linear: biases must be empty or have one entry per weight");
}

/** The gradients of the stacked weights and biases, from the gradient of their product with x. */
function parameterGradients(
  dy: Tensor,
  x: Tensor,
  rows: readonly number[],
  biases: readonly (Operand | null)[],
): Fields<Tensor> {
  const { dweight, dbias } = apply("linear_weight_gradient", { dy, x });
  const sums = unstacked(Graph.current.columnSums.get(dy) ?? dbias, rows);
  return { weights: unstacked(dweight, rows), biases: biases.map((bias, i) => (bias ? sums[i]! : null)) };
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
  const { y } = record("matmul", { a, b: right }, attributes, {
    to: { a, b },
    gradient: (dy) => ({
      a: transposeA
        ? matmul(right, dy, { transposeA: transposeB, transposeB: true })
        : matmul(dy, right, { transposeB: !transposeB }),
      b: convert(
        transposeB
          ? matmul(dy, a, { transposeA: true, transposeB: transposeA })
          : matmul(a, dy, { transposeA: !transposeA }),
        b.dtype,
      ),
    }),
  });
  return y;
}
