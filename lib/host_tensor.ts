import { checkArgument, describeValue, listOf, oneOf, wholeNumber } from "./arguments";
import { EvaClipError } from "./errors";
import type { DType, NativeArray } from "./native";

const arrayTypes = {
  f32: Float32Array,
  bf16: Uint16Array,
  i32: Int32Array,
  u8: Uint8Array,
} as const satisfies Record<DType, new (length: number) => NativeArray>;

/** The typed array that holds a dtype's elements in JavaScript; bf16 is kept as its 16 bits. */
export type ArrayOf<T extends DType> = {
  f32: Float32Array;
  bf16: Uint16Array;
  i32: Int32Array;
  u8: Uint8Array;
}[T];

/** The number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** A new array of zeros for `count` elements. */
export function allocateArray<T extends DType>(dtype: T, count: number): ArrayOf<T> {
  try {
    return new arrayTypes[dtype](count) as ArrayOf<T>;
  } catch (cause) {
    const needed = count * arrayTypes[dtype].BYTES_PER_ELEMENT;
    const message = `out of host memory: an array of ${needed} bytes cannot be had`;
    throw new EvaClipError("ERR_EVACLIP_OUT_OF_MEMORY", message, { needed }, { cause });
  }
}

/**
 * Whether `data` is the kind of typed array that holds `dtype`. By name, not instanceof: test runners give every
 * file classes of its own.
 */
export function holds(dtype: DType, data: unknown): data is NativeArray {
  return Object.prototype.toString.call(data) === `[object ${arrayTypes[dtype].name}]`;
}

/** Whether it is a typed array of one of the dtypes. */
export function isNativeArray(data: unknown): data is NativeArray {
  return (Object.keys(arrayTypes) as DType[]).some((dtype) => holds(dtype, data));
}

/** The dtype that a typed array holds; a Uint16Array is bf16. */
export function dtypeOf(data: NativeArray): DType {
  for (const dtype of Object.keys(arrayTypes) as DType[]) if (holds(dtype, data)) return dtype;
  throw new EvaClipError(
    "ERR_EVACLIP_INVALID_ARGUMENT",
    "expected a Float32Array, Uint16Array, Int32Array or Uint8Array",
  );
}

const aDtype = oneOf("f32", "bf16", "i32", "u8");
const aShape = listOf(wholeNumber, "a list of dimensions");

/** A tensor in JavaScript's memory: what goes into a program and what comes out. */
export class HostTensor<T extends DType = DType> {
  /** @throws EvaClipError `ERR_EVACLIP_SHAPE` when the data do not fill the shape. */
  constructor(
    readonly dtype: T,
    readonly shape: readonly number[],
    readonly data: ArrayOf<T>,
  ) {
    checkArgument("HostTensor: dtype", dtype, aDtype);
    checkArgument("HostTensor: shape", shape, aShape);
    if (!holds(dtype, data)) {
      const expected = `a ${arrayTypes[dtype].name}`;
      throw new EvaClipError(
        "ERR_EVACLIP_INVALID_ARGUMENT",
        `HostTensor: data must be ${expected} for ${dtype}, found ${describeValue(data)}`,
        { field: "data", expected },
      );
    }
    if (data.length !== elementCount(shape)) {
      throw new EvaClipError(
        "ERR_EVACLIP_SHAPE",
        `[${shape.join(", ")}] holds ${elementCount(shape)} elements, got ${data.length}`,
        { expected: elementCount(shape), actual: data.length },
      );
    }
  }

  /** The only element. @throws EvaClipError `ERR_EVACLIP_SHAPE` when there are more. */
  item(): number {
    if (this.data.length !== 1) {
      throw new EvaClipError("ERR_EVACLIP_SHAPE", `item() needs one element, got [${this.shape.join(", ")}]`);
    }
    return this.toFloat32()[0]!;
  }

  /** The elements as 32-bit floats: the data themselves for f32, a converted copy otherwise. */
  toFloat32(): Float32Array {
    if (this.dtype === "f32") return this.data as Float32Array;
    if (this.dtype !== "bf16") return Float32Array.from(this.data);
    const bits = new Uint32Array(this.data.length);
    for (let i = 0; i < bits.length; i++) bits[i] = this.data[i]! << 16;
    return new Float32Array(bits.buffer);
  }
}
