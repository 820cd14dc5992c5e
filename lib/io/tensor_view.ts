import { EvaClipError } from "../errors";
import type { NativePiece } from "../native";
import { floatView, type StoredTensor, TENSOR_ARRAYS } from "./tensor_source";

/** A stored tensor, or some of its rows, and the part of a parameter that it fills. */
export interface TensorPiece {
  readonly tensor: StoredTensor;
  /** Swap the two dimensions. */
  readonly transpose?: boolean;
  /** Only these rows: a range of the first dimension of the tensor as stored. */
  readonly rows?: readonly [begin: number, end: number];
  /** The first element of the parameter to fill; default 0. */
  readonly at?: number;
}

/**
 * A piece as a strided view of its file.
 * @param target name of the destination, for messages
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for rows or a transposition that the tensor does not have
 */
export function pieceView(
  target: string,
  { tensor, transpose = false, rows, at = 0 }: TensorPiece,
): NativePiece {
  const view = floatView(tensor);
  const fail = (problem: string) => {
    const message = `${target}: ${problem} of a stored tensor [${tensor.shape.join(", ")}]`;
    return new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message, { target });
  };
  let { offset } = view;
  const shape = [...view.shape];
  const strides = [...view.strides];
  if (rows) {
    const [begin, end] = rows;
    const known = shape[0] ?? 0;
    if (begin > end || end > known) throw fail(`cannot take rows ${begin} to ${end}`);
    offset += begin * strides[0]! * TENSOR_ARRAYS[view.dtype].BYTES_PER_ELEMENT;
    shape[0] = end - begin;
  }
  if (transpose) {
    if (shape.length !== 2) throw fail("cannot swap the two dimensions");
    shape.reverse();
    strides.reverse();
  }
  return { ...view, offset, shape, strides, at };
}
