import type { Device } from "../device";
import type { ClipModel } from "../models/clip_model";
import { elementCount } from "../shape";

export interface MemoryInfo {
  /** Bytes of the model's parameters, padding included. */
  readonly parameterBytes: number;
  /** Bytes of the arena that all programs of the device share. */
  readonly arenaBytes: number;
  /** Bytes of a GPU's kernel workspace. */
  readonly workspaceBytes: number;
}

const ELEMENT_BYTES = { f32: 4, bf16: 2, i32: 4, u8: 1 } as const;

export async function memoryInfo(model: ClipModel, device: Device): Promise<MemoryInfo> {
  const sizes = model
    .parameters()
    .map(({ dtype, storedShape }) => ELEMENT_BYTES[dtype] * elementCount(storedShape));
  return { parameterBytes: sizes.reduce((sum, bytes) => sum + bytes, 0), ...(await device.memory()) };
}
