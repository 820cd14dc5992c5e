import type { Device } from "./device";
import { EvaClipError } from "./errors";
import { allocateArray, elementCount, HostTensor, holds } from "./host_tensor";
import type { DType, NativeArray, NativeParameter } from "./native";

/** How a parameter starts: a constant, or normal deviates cut at ± `cut` standard deviations (0: not cut). */
export type Initializer =
  | { kind: "constant"; value: number }
  | { kind: "normal"; std: number; mean?: number; cut?: number };

/**
 * A named tensor that training changes and checkpoints hold. It is declared by a module without memory, so that a
 * model of any size can be described; `allocate` gives it storage on a device. Usable wherever a Tensor is.
 */
export class Parameter {
  #storage: NativeParameter | undefined;
  #device: Device | undefined;
  #dtype: DType = "f32";

  constructor(
    /** The published state-dict key, for example `visual.blocks.0.norm1.weight`. */
    readonly name: string,
    readonly shape: readonly number[],
    readonly initial: Initializer = { kind: "constant", value: 0 },
  ) {}

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
    if (this.#storage) {
      throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `parameter ${this.name} has storage already`);
    }
    this.#storage = device.native.createParameter(dtype, this.shape);
    this.#device = device;
    this.#dtype = dtype;
  }

  /** The storage on `device`. @throws EvaClipError when there is none, or it is on another device. */
  storageOn(device: Device): NativeParameter {
    const storage = this.#require();
    if (this.#device === device) return storage;
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `parameter ${this.name} is on another device`);
  }

  /** Copies `data` in, in order with the device's other work. The array must not change until that is done. */
  async write(data: NativeArray): Promise<void> {
    const storage = this.#require();
    if (!holds(this.#dtype, data) || data.length !== this.size) {
      throw new EvaClipError(
        "ERR_EVACLIP_SHAPE",
        `parameter ${this.name} takes ${this.size} elements of ${this.#dtype} ([${this.shape.join(", ")}]), got ${data.length}`,
        { parameter: this.name, expected: this.size, actual: data.length },
      );
    }
    await storage.write(data);
  }

  /** A copy of the content. */
  async read(): Promise<HostTensor> {
    const data = allocateArray(this.#dtype, this.size);
    await this.#require().read(data);
    return new HostTensor(this.#dtype, this.shape, data);
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
