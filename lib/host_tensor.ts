import { types } from "node:util";
import {
  checkArgument,
  describeValue,
  invalidArgument,
  listOf,
  oneOf,
  ownArgument,
  shortened,
  wholeNumber,
} from "./arguments";
import { EvaClipError } from "./errors";
import type { DType, NativeArray } from "./native";
import { elementCount } from "./shape";

const arrayTypes = {
  f32: Float32Array,
  bf16: Uint16Array,
  i32: Int32Array,
  u8: Uint8Array,
} as const satisfies Record<DType, new (length: number) => NativeArray>;

/** Checks by internal slot, which cannot be faked and works across realms. */
const isArrayOf = {
  f32: types.isFloat32Array,
  bf16: types.isUint16Array,
  i32: types.isInt32Array,
  u8: types.isUint8Array,
} as const satisfies Record<DType, (value: unknown) => boolean>;

/** Schema of a dtype argument. */
export const dtypeArgument = oneOf("f32", "bf16", "i32", "u8");
/** Schema of a shape argument; the copy from `ownArgument` is frozen. */
export const shapeArgument = listOf(wholeNumber, "a list of integers").transform(Object.freeze);

/** A shape for a message. */
export function shapeText(shape: readonly number[]): string {
  return `[${shortened(shape.join(", "))}]`;
}

/** The typed array that holds a dtype's elements in JavaScript; bf16 as its raw 16 bits. */
export type ArrayOf<T extends DType> = {
  f32: Float32Array;
  bf16: Uint16Array;
  i32: Int32Array;
  u8: Uint8Array;
}[T];

/** Runs `make`, which allocates `bytes` bytes. @throws EvaClipError `ERR_EVACLIP_OUT_OF_MEMORY` */
function withMemory<T>(bytes: number, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    const message = `out of host memory: cannot allocate an array of ${bytes} bytes`;
    throw new EvaClipError("ERR_EVACLIP_OUT_OF_MEMORY", message, { needed: bytes }, { cause });
  }
}

/** A new array of zeros for `count` elements. */
export function allocateArray<T extends DType>(dtype: T, count: number): ArrayOf<T> {
  const type = arrayTypes[dtype];
  return withMemory(count * type.BYTES_PER_ELEMENT, () => new type(count) as ArrayOf<T>);
}

/**
 * `data` itself if it is in shared memory, otherwise a copy in shared memory, which cannot be detached and which programs
 * read in place without another copy.
 */
export function inSharedMemory<T extends NativeArray>(data: T): T {
  if (data.buffer instanceof SharedArrayBuffer) return data;
  const copy = sharedArray(dtypeOf(data), data.length);
  copy.set(data);
  return copy as NativeArray as T;
}

/** A new array of zeros in shared memory. */
export function sharedArray<T extends DType>(dtype: T, count: number): ArrayOf<T> {
  const type = arrayTypes[dtype];
  const bytes = count * type.BYTES_PER_ELEMENT;
  // The union of constructors has no overload for a SharedArrayBuffer.
  const memory = withMemory(bytes, () => new SharedArrayBuffer(bytes)) as unknown as ArrayBuffer;
  return new type(memory) as ArrayOf<T>;
}

/** Whether `data` is the kind of typed array that holds `dtype`. */
export function holds(dtype: DType, data: unknown): data is NativeArray {
  return isArrayOf[dtype](data);
}

/** Whether `data` is a typed array of any dtype. */
export function isNativeArray(data: unknown): data is NativeArray {
  return (Object.keys(arrayTypes) as DType[]).some((dtype) => holds(dtype, data));
}

/** The dtype of a typed array; a Uint16Array is bf16. */
export function dtypeOf(data: NativeArray): DType {
  for (const dtype of Object.keys(arrayTypes) as DType[]) if (holds(dtype, data)) return dtype;
  throw invalidArgument(
    `expected a Float32Array, Uint16Array, Int32Array or Uint8Array, found ${describeValue(data)}`,
  );
}

/** A tensor in host memory: an input or output of a program. */
export class HostTensor<T extends DType = DType> {
  readonly shape: readonly number[];

  /**
   * @throws EvaClipError `ERR_EVACLIP_SHAPE` when the length of `data` does not match the shape,
   *   `ERR_EVACLIP_INVALID_ARGUMENT` when it is not the typed array of the dtype.
   */
  constructor(
    readonly dtype: T,
    given: readonly number[],
    readonly data: ArrayOf<T>,
  ) {
    checkArgument("HostTensor: dtype", dtype, dtypeArgument);
    const shape = ownArgument("HostTensor: shape", given, shapeArgument);
    this.shape = shape;
    if (!holds(dtype, data)) {
      throw invalidArgument(
        `HostTensor: data must be a ${arrayTypes[dtype].name} for ${dtype}, found ${describeValue(data)}`,
      );
    }
    if (data.length !== elementCount(shape)) {
      throw new EvaClipError(
        "ERR_EVACLIP_SHAPE",
        `${shapeText(shape)} holds ${elementCount(shape)} elements, got ${data.length}`,
        { expected: elementCount(shape), actual: data.length },
      );
    }
  }

  /** The value of a tensor with one element. @throws EvaClipError `ERR_EVACLIP_SHAPE` for any other size. */
  item(): number {
    if (this.data.length !== 1) {
      throw new EvaClipError("ERR_EVACLIP_SHAPE", `item() needs one element, got ${shapeText(this.shape)}`);
    }
    return this.toFloat32()[0]!;
  }

  /** The elements as 32-bit floats: `data` itself for f32, a converted copy otherwise. */
  toFloat32(): Float32Array {
    if (this.dtype === "f32") return this.data as Float32Array;
    if (this.dtype !== "bf16") return Float32Array.from(this.data);
    const bits = new Uint32Array(this.data.length);
    for (let i = 0; i < bits.length; i++) bits[i] = this.data[i]! << 16;
    return new Float32Array(bits.buffer);
  }
}
