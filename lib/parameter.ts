import { z } from "zod";
import {
  checkArgument,
  describeValue,
  finiteNumber,
  flag,
  listOf,
  oneOf,
  options,
  ownArgument,
  shortened,
  text,
  wholeNumber,
} from "./arguments";
import { type Device, deviceArgument as aDevice } from "./device";
import { EvaClipError } from "./errors";
import { allocateArray, HostTensor, holds } from "./host_tensor";
import { floatView, type StoredTensor, TENSOR_ARRAYS } from "./io/tensor_source";
import type { DType, NativeArray, NativeParameter, NativePiece } from "./native";
import { elementCount } from "./shape";

/** How a parameter starts: a constant, or normal deviates cut at ± `cut` standard deviations (0: not cut). */
export type Initializer =
  | { kind: "constant"; value: number }
  | { kind: "normal"; std: number; mean?: number; cut?: number };

const initializer = z.discriminatedUnion(
  "kind",
  [
    options({ kind: z.literal("constant"), value: finiteNumber }),
    options({
      kind: z.literal("normal"),
      std: finiteNumber.min(0),
      mean: finiteNumber.optional(),
      cut: finiteNumber.min(0).optional(),
    }),
  ],
  { error: "an initializer of kind constant or normal" },
);
/** Of a tensor: its dimensions; the copy that `ownArgument` makes of them is frozen. */
export const dimensions = listOf(wholeNumber, "a list of dimensions").transform(Object.freeze);
export { aDevice };
export const floatDtype = oneOf("f32", "bf16");

/** What part of a parameter is filled from which stored tensor. */
export interface TensorPiece {
  readonly tensor: StoredTensor;
  /** Swap the two dimensions. */
  readonly transpose?: boolean;
  /** Only these rows (first dimension, of the tensor as stored). */
  readonly rows?: readonly [begin: number, end: number];
  /** The first element of the parameter that it fills; default 0. */
  readonly at?: number;
}

const pieceShape = options({
  tensor: z.custom<StoredTensor>((value) => Array.isArray((value as StoredTensor | null)?.shape), {
    error: "a stored tensor",
  }),
  transpose: flag.optional(),
  rows: z.tuple([wholeNumber, wholeNumber], { error: "[begin, end]" }).optional(),
  at: wholeNumber.optional(),
});

/** The rows and the transposition of a piece as a view of the file. */
function nativePiece(
  parameter: string,
  { tensor, transpose = false, rows, at = 0 }: TensorPiece,
): NativePiece {
  const view = floatView(tensor);
  const fail = (problem: string) => {
    const message = `parameter ${parameter}: ${problem} of a stored tensor [${tensor.shape.join(", ")}]`;
    return new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message, { parameter });
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

/**
 * A named tensor that training changes and checkpoints hold. It is declared by a module without memory, so that a
 * model of any size can be described; `allocate` gives it storage on a device. Usable wherever a Tensor is.
 */
export class Parameter {
  #storage: NativeParameter | undefined;
  #device: Device | undefined;
  #dtype: DType = "f32";

  readonly shape: readonly number[];
  readonly initial: Initializer;
  /**
   * The shape under which ops see the parameter and a device holds it: larger in the first or the last dimension, with
   * zeros behind the rest. Everything else speaks of `shape`.
   */
  readonly storedShape: readonly number[];

  constructor(
    /** The published state-dict key, for example `visual.blocks.0.norm1.weight`. */
    readonly name: string,
    shape: readonly number[],
    initial: Initializer = { kind: "constant", value: 0 },
    storedShape: readonly number[] = shape,
  ) {
    checkArgument("Parameter: name", name, text);
    this.shape = ownArgument("Parameter: shape", shape, dimensions);
    this.initial = ownArgument("Parameter: initial", initial, initializer);
    this.storedShape = ownArgument("Parameter: storedShape", storedShape, dimensions);
  }

  /** By what it has: what is behind a Proxy, or has the prototype alone, lacks the private fields. */
  static [Symbol.hasInstance](value: unknown): value is Parameter {
    return typeof value === "object" && value !== null && #dtype in value;
  }

  /** The elements of `shape`. */
  get size(): number {
    return elementCount(this.shape);
  }

  get dtype(): DType {
    return this.#dtype;
  }

  get allocated(): boolean {
    return this.#storage !== undefined;
  }

  /**
   * Takes memory on `device`; the content is undefined until it is written or initialised.
   * @throws EvaClipError `ERR_EVACLIP_OUT_OF_MEMORY`, or `ERR_EVACLIP_INVALID_ARGUMENT` when it has storage already.
   */
  allocate(device: Device, dtype: "f32" | "bf16" = "f32"): void {
    checkArgument("Parameter.allocate: device", device, aDevice);
    checkArgument("Parameter.allocate: dtype", dtype, floatDtype);
    if (this.#storage) {
      throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `parameter ${this.name} has storage already`);
    }
    this.#storage = device.native.createParameter(dtype, this.shape, this.storedShape);
    this.#device = device;
    this.#dtype = dtype;
  }

  /**
   * The storage on `device`. @throws EvaClipError when there is none, or it is on another device.
   * @internal
   */
  storageOn(device: Device): NativeParameter {
    const storage = this.#require();
    if (this.#device === device) return storage;
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `parameter ${this.name} is on another device`);
  }

  /**
   * Copies `data` in, in order with the device's other work. Like a program's inputs, it is read before the call returns
   * unless it is in a SharedArrayBuffer.
   */
  async write(data: NativeArray): Promise<void> {
    const storage = this.#require();
    if (!holds(this.#dtype, data) || data.length !== this.size) {
      const expected = `${this.size} elements of ${this.#dtype} ([${this.shape.join(", ")}])`;
      const actual = describeValue(data);
      throw new EvaClipError(
        ArrayBuffer.isView(data) ? "ERR_EVACLIP_SHAPE" : "ERR_EVACLIP_INVALID_ARGUMENT",
        `parameter ${shortened(this.name)} takes ${expected}, found ${actual}`,
        { parameter: shortened(this.name), expected, actual },
      );
    }
    await storage.write(data);
  }

  /**
   * Fills the parts that `pieces` name straight from their files, converting, on the device's thread and in order with
   * its other work. Everything is checked before the first element changes.
   *
   * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for a piece that leaves its file or this parameter, or is not
   *   floating-point; `ERR_EVACLIP_IO` when a file has become shorter; `ERR_EVACLIP_DISPOSED` when it was closed
   */
  async load(pieces: readonly TensorPiece[]): Promise<void> {
    const storage = this.#require();
    checkArgument("Parameter.load: pieces", pieces, listOf(pieceShape, "a list of pieces of stored tensors"));
    await storage.load(pieces.map((piece) => nativePiece(this.name, piece)));
  }

  /** A copy of the content. */
  async read(): Promise<HostTensor> {
    const data = allocateArray(this.#dtype, this.size);
    await this.#require().read(data);
    return new HostTensor(this.#dtype, this.shape, data);
  }

  /** What a tensor of the stored shape, such as the parameter's gradient, holds for the elements of `shape`. */
  withoutPadding({ dtype, data }: HostTensor): HostTensor {
    const result = allocateArray(dtype, this.size);
    const [columns, pitch] = [this.shape.at(-1) ?? 1, this.storedShape.at(-1) ?? 1];
    for (let at = 0; at < this.size; at += columns) {
      const from = (at / columns) * pitch;
      result.set(data.subarray(from, from + columns), at);
    }
    return new HostTensor(dtype, this.shape, result);
  }

  /** Frees the memory. Programs that use the parameter keep it until they are disposed. */
  dispose(): void {
    this.#storage?.dispose();
    this.#storage = undefined;
    this.#device = undefined;
  }

  #require(): NativeParameter {
    if (this.#storage) return this.#storage;
    throw new EvaClipError(
      "ERR_EVACLIP_DISPOSED",
      `parameter ${this.name} has no storage: it was never allocated, or it was disposed`,
      { parameter: this.name },
    );
  }
}

/** How much memory a parameter takes of a device. */
function storedBytes({ storedShape }: Parameter, dtype: "f32" | "bf16"): number {
  return elementCount(storedShape) * (dtype === "f32" ? 4 : 2);
}

/** What parameters take together, and whether `device` has it. @throws EvaClipError `ERR_EVACLIP_OUT_OF_MEMORY` */
export function expectMemory(
  parameters: readonly Parameter[],
  device: Device,
  dtypeOf: (parameter: Parameter) => "f32" | "bf16" = () => "f32",
): void {
  const bytes = parameters.reduce((sum, parameter) => sum + storedBytes(parameter, dtypeOf(parameter)), 0);
  device.native.expectFree(Math.min(bytes, Number.MAX_SAFE_INTEGER));
}

/**
 * Gives every parameter memory on `device`, or none of them one.
 * @param dtypeOf The type of each; default `f32`.
 * @throws EvaClipError `ERR_EVACLIP_OUT_OF_MEMORY` with the bytes of all in `details.needed`
 */
export function allocateAll(
  parameters: readonly Parameter[],
  device: Device,
  dtypeOf: (parameter: Parameter) => "f32" | "bf16" = () => "f32",
): void {
  expectMemory(parameters, device, dtypeOf);
  const allocated: Parameter[] = [];
  try {
    for (const parameter of parameters) {
      parameter.allocate(device, dtypeOf(parameter));
      allocated.push(parameter);
    }
  } catch (error) {
    for (const parameter of allocated) parameter.dispose();
    throw error;
  }
}
