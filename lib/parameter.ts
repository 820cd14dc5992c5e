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
import type { StoredTensor } from "./io/tensor_source";
import { pieceView, type TensorPiece } from "./io/tensor_view";
import type { DType, NativeArray, NativeParameter } from "./native";
import { type ParameterRole, roleArgument } from "./parameter_role";
import { elementCount, joinLast } from "./shape";

/** The initial values of a parameter: a constant, or a normal distribution truncated at ± `cut` std (0: not truncated). */
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

const pieceShape = options({
  tensor: z.custom<StoredTensor>((value) => Array.isArray((value as StoredTensor | null)?.shape), {
    error: "a stored tensor",
  }),
  transpose: flag.optional(),
  rows: z.tuple([wholeNumber, wholeNumber], { error: "[begin, end]" }).optional(),
  at: wholeNumber.optional(),
});

export interface ParameterOptions {
  /** Default zero. */
  readonly initial?: Initializer | undefined;
  /** Default `shape`. */
  readonly storedShape?: readonly number[] | undefined;
  readonly role?: ParameterRole | undefined;
}

/** Memory of several parameters. */
export interface SharedMemory {
  /** A part's memory; undefined where it needs memory of its own. */
  allocate(part: Parameter, device: Device, dtype: DType): NativeParameter | undefined;
  /** The part needs its memory no longer. */
  leave(part: Parameter): void;
}

const parameterOptions = options({
  initial: initializer.optional(),
  storedShape: dimensions.optional(),
  role: roleArgument.optional(),
});

/**
 * A named tensor that training changes and checkpoints hold, usable wherever a Tensor is. It is declared without memory,
 * so a model of any size can be described; `allocate` gives it storage on a device.
 */
export class Parameter {
  #storage: NativeParameter | undefined;
  #device: Device | undefined;
  #dtype: DType = "f32";

  #disposed = false;
  #version = 0;
  #stack: SharedMemory | undefined;

  readonly shape: readonly number[];
  readonly initial: Initializer;
  /**
   * The shape that ops see and a device holds: `shape`, its last dimensions joined where this has fewer, then larger in the
   * first or the last dimension, and zero there. [W, 3, P, P] → [W, 3 P P + padding]. Files, counts and reports use `shape`.
   */
  readonly storedShape: readonly number[];
  /** Its role in a model; undefined outside a model. */
  readonly role: ParameterRole | undefined;

  /**
   * @param name The published state-dict key, such as `visual.blocks.0.norm1.weight`.
   * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` naming the invalid argument
   */
  constructor(
    readonly name: string,
    shape: readonly number[],
    given: ParameterOptions = {},
  ) {
    checkArgument("Parameter: name", name, text);
    this.shape = ownArgument("Parameter: shape", shape, dimensions);
    const { initial, storedShape, role } = ownArgument("Parameter: options", given, parameterOptions);
    this.initial = initial ?? { kind: "constant", value: 0 };
    this.storedShape = storedShape ?? this.shape;
    this.role = role;
  }

  /** By its private fields, which a Proxy and an object with only the prototype lack. */
  static [Symbol.hasInstance](value: unknown): value is Parameter {
    return typeof value === "object" && value !== null && #dtype in value;
  }

  /** The elements of `shape`. */
  get size(): number {
    return elementCount(this.shape);
  }

  /** `shape` in as many dimensions as `storedShape`: what of that is not padding. @internal */
  get joinedShape(): readonly number[] {
    return joinLast(this.shape, this.storedShape.length);
  }

  get dtype(): DType {
    return this.#dtype;
  }

  get allocated(): boolean {
    return this.#storage !== undefined;
  }

  /** Whether its memory was freed; allocating it again ends that. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /**
   * Allocates memory on `device`; the content is undefined until it is written or initialized. A GPU only reserves the memory
   * here and allocates it at the first use, in order with its other work.
   * @throws EvaClipError `ERR_EVACLIP_OUT_OF_MEMORY`, or `ERR_EVACLIP_INVALID_ARGUMENT` when it has storage already.
   */
  allocate(device: Device, dtype: "f32" | "bf16" = "f32"): void {
    checkArgument("Parameter.allocate: device", device, aDevice);
    checkArgument("Parameter.allocate: dtype", dtype, floatDtype);
    if (this.#storage) {
      throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `parameter ${this.name} has storage already`);
    }
    this.#storage =
      this.#stack?.allocate(this, device, dtype) ??
      device.native.createParameter(dtype, this.joinedShape, this.storedShape);
    this.#device = device;
    this.#dtype = dtype;
    this.#disposed = false;
    this.#version++;
  }

  /** The memory that it shares with other parameters, if any: a `ParameterStack`. @internal */
  get stack(): SharedMemory | undefined {
    return this.#stack;
  }

  /** Its memory is that of `stack` when it is allocated next. @internal */
  joinStack(stack: SharedMemory): void {
    this.#stack = stack;
  }

  /** Grows with every change of its content that has been started. @internal */
  get version(): number {
    return this.#version;
  }

  /** A program that changes it has been started. @internal */
  changed(): void {
    this.#version++;
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
   * Copies `data` in, in order with the device's other work. It is read before the call returns, like a program's inputs,
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
    this.#version++;
    await storage.write(data);
  }

  /**
   * Reads pieces of files into the parameter, converting their elements, on the device's thread and in order with its
   * other work. All pieces are checked before the first element changes.
   *
   * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for a piece that exceeds its file or this parameter, or is not
   *   floating-point; `ERR_EVACLIP_IO` when a file was truncated; `ERR_EVACLIP_DISPOSED` when it was closed
   */
  async load(pieces: readonly TensorPiece[]): Promise<void> {
    const storage = this.#require();
    checkArgument("Parameter.load: pieces", pieces, listOf(pieceShape, "a list of pieces of stored tensors"));
    this.#version++;
    await storage.load(pieces.map((piece) => pieceView(`parameter ${this.name}`, piece)));
  }

  /** A copy of the content. */
  async read(): Promise<HostTensor> {
    const data = allocateArray(this.#dtype, this.size);
    await this.#require().read(data);
    return new HostTensor(this.#dtype, this.shape, data);
  }

  /** A tensor of the stored shape, such as the gradient, without the padding. [storedShape] → [shape] */
  withoutPadding({ dtype, data }: HostTensor): HostTensor {
    const result = allocateArray(dtype, this.size);
    const [columns, pitch] = [this.joinedShape.at(-1) ?? 1, this.storedShape.at(-1) ?? 1];
    for (let at = 0; at < this.size; at += columns) {
      const from = (at / columns) * pitch;
      result.set(data.subarray(from, from + columns), at);
    }
    return new HostTensor(dtype, this.shape, result);
  }

  /** Frees the memory. Programs that use the parameter keep it until they are disposed. */
  dispose(): void {
    this.#storage?.dispose();
    this.#stack?.leave(this);
    this.#storage = undefined;
    this.#device = undefined;
    this.#disposed = true;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #require(): NativeParameter {
    if (this.#storage) return this.#storage;
    throw new EvaClipError(
      "ERR_EVACLIP_DISPOSED",
      `parameter ${this.name} has no storage: it was ${this.#disposed ? "disposed" : "never allocated"}`,
      { parameter: this.name },
    );
  }
}

/** The memory that a parameter takes, in bytes. */
function storedBytes({ storedShape }: Parameter, dtype: "f32" | "bf16"): number {
  return elementCount(storedShape) * (dtype === "f32" ? 4 : 2);
}

/** Checks that `device` has the memory that parameters take. @throws EvaClipError `ERR_EVACLIP_OUT_OF_MEMORY` */
export function expectMemory(
  parameters: readonly Parameter[],
  device: Device,
  dtypeOf: (parameter: Parameter) => "f32" | "bf16" = () => "f32",
): void {
  const bytes = parameters.reduce((sum, parameter) => sum + storedBytes(parameter, dtypeOf(parameter)), 0);
  device.native.expectFree(Math.min(bytes, Number.MAX_SAFE_INTEGER));
}

/**
 * Allocates every parameter on `device`, or none.
 * @param dtypeOf The dtype of each; default `f32`.
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
