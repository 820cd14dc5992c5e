import { setImmediate } from "node:timers/promises";
import { EvaClipError } from "../errors";
import type { NativeStoredView } from "../native";
import type { MappedFile } from "./mapped_file";

/** The array that holds each type's elements in JavaScript; types that it has none for are bit patterns. */
export const TENSOR_ARRAYS = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U64: BigUint64Array,
  U32: Uint32Array,
  U16: Uint16Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
  F8_E4M3: Uint8Array,
  F8_E4M3FNUZ: Uint8Array,
  F8_E5M2: Uint8Array,
  F8_E5M2FNUZ: Uint8Array,
  F8_E8M0: Uint8Array,
  F6_E2M3: Uint8Array,
  F6_E3M2: Uint8Array,
  F4: Uint8Array,
  C64: BigUint64Array,
} as const;

/** Element types of files, by the names that safetensors gives them. */
export type StoredDtype = keyof typeof TENSOR_ARRAYS;

/** Types whose elements share bytes. */
const PACKED_BITS: Partial<Record<StoredDtype, number>> = { F6_E2M3: 6, F6_E3M2: 6, F4: 4 };

/** The bytes of one element; a fraction where elements share bytes. */
export function elementBytes(dtype: StoredDtype): number {
  const packed = PACKED_BITS[dtype];
  return packed === undefined ? TENSOR_ARRAYS[dtype].BYTES_PER_ELEMENT : packed / 8;
}

const FLOAT_TYPES = ["F64", "F32", "F16", "BF16"] as const satisfies StoredDtype[];

/** The types that can become a parameter; a tensor of any other may lie in a file that is read, unused. */
export type FloatDtype = (typeof FLOAT_TYPES)[number];

/** A tensor of a file: where its elements are, not their values. */
export interface StoredTensor {
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  /** In elements. */
  readonly strides: readonly number[];
  /** @internal */
  readonly file: MappedFile;
  /** The byte of `file` where element [0, …, 0] begins. */
  readonly offset: number;
  /**
   * Of a format with checksums: reads the bytes once, and throws `ERR_EVACLIP_CHECKPOINT_CORRUPT` when they are damaged.
   * @internal
   */
  readonly check?: () => Promise<void>;
}

/** An open file, or several that belong together, and the tensors in it. */
export interface TensorSource extends AsyncDisposable {
  readonly path: string;
  readonly format: "safetensors" | "pytorch";
  readonly metadata: Readonly<Record<string, string>>;
  /** The tensors are a moving average of weights, which was told from what the file holds beside them. */
  readonly isAverage?: boolean;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Work that was started with a tensor goes on. Idempotent. */
  close(): Promise<void>;
}

/** Elements converted before the event loop gets its turn. */
const CHUNK = 1 << 18;

/** The strides of a tensor without gaps, the last dimension varying fastest. */
export function rowMajorStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i]!;
  }
  return strides;
}

export function isFloatDtype(dtype: StoredDtype): dtype is FloatDtype {
  return (FLOAT_TYPES as readonly StoredDtype[]).includes(dtype);
}

/** The tensor as the addon takes it. @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` when it is not floating-point. */
export function floatView({ dtype, shape, strides, file, offset }: StoredTensor): NativeStoredView {
  if (isFloatDtype(dtype)) return { file: file.native, dtype, offset, shape, strides };
  const problem = `a tensor of ${file.path} is ${dtype}; expected ${FLOAT_TYPES.join(", ")}`;
  throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", problem, { path: file.path, dtype });
}

/**
 * The elements of a floating-point tensor in row-major order, a part at a time.
 *
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for other types, or a tensor that leaves its file;
 *   `ERR_EVACLIP_IO` when the file has become shorter; `ERR_EVACLIP_DISPOSED` when it was closed
 */
export async function readFloat32(tensor: StoredTensor): Promise<Float32Array> {
  const view = floatView(tensor);
  const floats = new Float32Array(tensor.shape.reduce((product, size) => product * size, 1));
  for (let first = 0; first < floats.length; first += CHUNK) {
    view.file.read(view, first, floats.subarray(first, first + CHUNK));
    if (first + CHUNK < floats.length) await setImmediate();
  }
  return floats;
}
