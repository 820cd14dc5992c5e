import type { Device } from "./device";
import type { DType, NativeParameter } from "./native";
import { allocateArray } from "./host_tensor";
import { Parameter, type SharedMemory } from "./parameter";
import { elementCount } from "./shape";

/**
 * Gives parameters memory next to each other, in this order, once they are allocated.
 * @param parts Of equal stored shapes but for their rows; a number stands for as many rows of zeros.
 */
export function stackParameters(parts: readonly (Parameter | number)[]): void {
  const stack = new ParameterStack(parts);
  for (const part of parts) if (part instanceof Parameter) part.joinStack(stack);
}

/**
 * Parameters whose rows are next to each other in memory, so that an op reads them as one tensor: the q, k and v
 * projections of a block, or the gate and the value of SwiGLU. Each keeps its name, and its own place in files.
 */
export class ParameterStack implements SharedMemory {
  readonly storedShape: readonly number[];
  #storage: NativeParameter | undefined;
  #device: Device | undefined;
  #dtype: DType = "f32";
  readonly #inside = new Set<Parameter>();

  constructor(private readonly parts: readonly (Parameter | number)[]) {
    const first = parts.find((part) => part instanceof Parameter)!;
    this.storedShape = Object.freeze([this.#rowsBefore(parts.length), ...first.storedShape.slice(1)]);
  }

  get dtype(): DType {
    return this.#dtype;
  }

  /** Whether these are its parts in its order; null stands for rows of zeros. */
  holds(operands: readonly unknown[]): boolean {
    return (
      operands.length === this.parts.length &&
      this.parts.every((part, i) => operands[i] === (part instanceof Parameter ? part : null))
    );
  }

  /** The memory of all parts on `device`; undefined while a part is not in it. */
  storageOn(device: Device): NativeParameter | undefined {
    const complete = this.parts.every((part) => !(part instanceof Parameter) || this.#inside.has(part));
    return complete && this.#device === device ? this.#storage : undefined;
  }

  /** The memory of one part. Undefined if the stack is on another device or has another dtype. */
  allocate(part: Parameter, device: Device, dtype: DType): NativeParameter | undefined {
    if (!this.#storage) this.#create(device, dtype);
    if (this.#device !== device || this.#dtype !== dtype) return undefined;
    this.#inside.add(part);
    return this.#storage!.window(
      this.#rowsBefore(this.parts.indexOf(part)),
      part.joinedShape,
      part.storedShape,
    );
  }

  /** Frees the memory when the last part has left it. */
  leave(part: Parameter): void {
    this.#inside.delete(part);
    if (this.#inside.size > 0) return;
    this.#storage?.dispose();
    this.#storage = undefined;
    this.#device = undefined;
  }

  #create(device: Device, dtype: DType): void {
    const storage = device.native.createParameter(dtype, this.storedShape, this.storedShape);
    this.parts.forEach((part, i) => {
      if (part instanceof Parameter) return;
      const shape = [part, ...this.storedShape.slice(1)];
      const zeros = storage.window(this.#rowsBefore(i), shape, shape);
      // It fails only if the device was closed, which every later use reports.
      zeros.write(allocateArray(dtype, elementCount(shape))).catch(() => undefined);
    });
    [this.#storage, this.#device, this.#dtype] = [storage, device, dtype];
  }

  #rowsBefore(index: number): number {
    return this.parts.slice(0, index).reduce<number>((sum, part) => sum + rowsOf(part), 0);
  }
}

function rowsOf(part: Parameter | number): number {
  return part instanceof Parameter ? part.storedShape[0]! : part;
}
