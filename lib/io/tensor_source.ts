import { setImmediate } from "node:timers/promises";
import { EvaClipError } from "../errors";
import { elementCount } from "../shape";
import type { NativeStoredView } from "../native";
import type { MappedFile } from "./mapped_file";

/** The JavaScript array of each element type; types that JavaScript lacks are bit patterns. */
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

/** Element types of files, by their names in safetensors. */
export type StoredDtype = keyof typeof TENSOR_ARRAYS;

/** Bits per element of types that pack several elements into a byte. */
const PACKED_BITS: Partial<Record<StoredDtype, number>> = { F6_E2M3: 6, F6_E3M2: 6, F4: 4 };

/** Bytes per element; a fraction for packed types. */
export function elementBytes(dtype: StoredDtype): number {
  const packed = PACKED_BITS[dtype];
  return packed === undefined ? TENSOR_ARRAYS[dtype].BYTES_PER_ELEMENT : packed / 8;
}

const FLOAT_TYPES = ["F64", "F32", "F16", "BF16"] as const satisfies StoredDtype[];

/** The types that a parameter can be loaded from; a file may also have tensors of others, which are not used. */
export type FloatDtype = (typeof FLOAT_TYPES)[number];

/** A tensor of a file: where its elements are, not their values. */
export interface StoredTensor {
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  /** In elements, one per dimension. */
  readonly strides: readonly number[];
  /** @internal */
  readonly file: MappedFile;
  /** Byte offset in `file` of element [0, …, 0]. */
  readonly offset: number;
  /**
   * For formats with checksums: verifies the bytes. @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_CORRUPT`
   * @internal
   */
  readonly check?: () => Promise<void>;
}

/** An open file of tensors, or several that belong together. */
export interface TensorSource extends AsyncDisposable {
  readonly path: string;
  readonly format: "safetensors" | "pytorch";
  readonly metadata: Readonly<Record<string, string>>;
  /** Whether the tensors are a moving average of weights, as the rest of the file shows. */
  readonly isAverage?: boolean;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Pending loads finish; later reads are refused. Idempotent. */
  close(): Promise<void>;
}

/** Elements converted between two turns of the event loop. */
const CHUNK = 1 << 18;

/** The strides of a contiguous tensor, the last dimension varying fastest. */
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

/** The tensor in the addon's form. @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` when it is not floating-point */
export function floatView(tensor: StoredTensor): NativeStoredView {
  const { dtype, shape, strides, file, offset } = tensor;
  if (isFloatDtype(dtype)) return { file: file.native, dtype, offset, shape, strides };
  const problem = `a tensor of ${file.path} is ${dtype}; expected ${FLOAT_TYPES.join(", ")}`;
  throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", problem, { path: file.path, dtype });
}

/**
 * The elements of a floating-point tensor in row-major order, read in parts.
 *
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for other types, or a tensor outside its file; `ERR_EVACLIP_IO`
 *   when the file has been truncated; `ERR_EVACLIP_DISPOSED` when it is closed
 */
export async function readFloat32(tensor: StoredTensor): Promise<Float32Array> {
  const view = floatView(tensor);
  const floats = new Float32Array(elementCount(tensor.shape));
  for (let first = 0; first < floats.length; first += CHUNK) {
    view.file.read(view, first, floats.subarray(first, first + CHUNK));
    if (first + CHUNK < floats.length) await setImmediate();
  }
  return floats;
}
