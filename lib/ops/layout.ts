import { checkArgument, ownArgument, wholeNumber } from "../arguments";
import { apply, type Operand, operandList, shapeOf, type Tensor } from "../tensor";

/** The transpose of a matrix, or of each matrix of a batch. [..., M, N] → [..., N, M] */
export function transpose(x: Operand): Tensor {
  const { y } = apply("transpose", { x }, {}, (dy) => ({ x: transpose(dy) }));
  return y;
}

/** Concatenation along the first dimension. [N_i, ...] → [sum N_i, ...] */
export function concat(given: readonly Operand[]): Tensor {
  const xs = ownArgument("ops.concat: xs", given, operandList);
  const { y } = apply("concat", { xs }, {}, (dy) => {
    let end = 0;
    return {
      xs: xs.map((x) => {
        const begin = end;
        end += shapeOf(x)[0]!;
        return slice(dy, begin, end);
      }),
    };
  });
  return y;
}

/** x[begin : end] along the first dimension. [N, ...] → [end - begin, ...] */
export function slice(x: Operand, begin: number, end: number): Tensor {
  checkArgument("ops.slice: begin", begin, wholeNumber);
  checkArgument("ops.slice: end", end, wholeNumber);
  const { y } = apply("slice", { x }, { begin, end }, (dy) => ({ x: pad(dy, begin, shapeOf(x)[0]!) }));
  return y;
}

/** x at rows begin, begin + 1, … of `rows` rows, zero elsewhere. [N, ...] → [rows, ...] */
export function pad(x: Operand, begin: number, rows: number): Tensor {
  checkArgument("ops.pad: begin", begin, wholeNumber);
  checkArgument("ops.pad: rows", rows, wholeNumber);
  const { y } = apply("pad", { x }, { begin, rows }, (dy) => ({
    x: slice(dy, begin, begin + shapeOf(x)[0]!),
  }));
  return y;
}

/** y[i] = x[index[i]], with x [..., C] taken as rows of C. index [B] i32 → [B, C] */
export function gatherRows(x: Operand, index: Operand): Tensor {
  const { y } = apply("gather_rows", { x, index }, {}, (dy) => ({
    x: apply("gather_rows_backward", { dy, index, like: x }).dx,
  }));
  return y;
}

/** The mean of tokens begin … N-1 of each sequence; begin 1 excludes the class token. [B, N, C] → [B, C] */
export function meanTokens(x: Operand, begin = 0): Tensor {
  checkArgument("ops.meanTokens: begin", begin, wholeNumber);
  const { y } = apply("mean_tokens", { x }, { begin }, (dy) => ({
    x: apply("mean_tokens_backward", { dy, like: x }, { begin }).dx,
  }));
  return y;
}
