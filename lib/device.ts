import { availableParallelism } from "node:os";
import { EvaClipError } from "./errors";
import { type DeviceInfo, type NativeDevice, native } from "./native";

export interface DeviceOptions {
  /** Threads of the CPU backend; by default as many as the process may use. */
  threads?: number;
  /** `v2`, `v3` or `v4`: the x86-64 level of the CPU kernels; by default the newest the processor has. */
  instructionSet?: string;
}

export type DeviceKind = "cpu" | "cuda" | "auto";

/** A processor with a thread of its own, on which everything compiled for it runs in the order it was started. */
export class Device {
  private constructor(
    /** The native device; for this package's own modules. */
    readonly native: NativeDevice,
    readonly info: DeviceInfo,
    /** Why `auto` did not choose CUDA. */
    readonly fallbackReason: string | undefined,
  ) {}

  /**
   * Opens a device. `cuda` never falls back; `auto` takes CUDA where it works and otherwise the CPU, with the reason
   * in `fallbackReason`.
   * @throws EvaClipError `ERR_EVACLIP_NO_DEVICE` when the device is not available, saying why.
   */
  static async open(kind: DeviceKind = "auto", options: DeviceOptions = {}): Promise<Device> {
    if (kind === "auto") {
      try {
        return openNative("cuda", options);
      } catch (reason) {
        return openNative("cpu", options, (reason as Error).message);
      }
    }
    if (kind !== "cpu" && kind !== "cuda") {
      throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `device must be cpu, cuda or auto, not ${kind}`);
    }
    return openNative(kind, options);

    function openNative(wanted: string, given: DeviceOptions, fallbackReason?: string): Device {
      const opened = new native.Device({
        kind: wanted,
        threads: given.threads ?? availableParallelism(),
        instructionSet: given.instructionSet ?? process.env.EVA_CLIP_INSTRUCTION_SET ?? "",
        cudaLibrary: process.env.EVA_CLIP_CUDA_LIBRARY ?? "",
      });
      return new Device(opened, opened.info(), fallbackReason);
    }
  }

  /** Bytes of the arena that all programs of the device share, and of a GPU's kernels' own memory beside it. */
  async memory(): Promise<{ arenaBytes: number; workspaceBytes: number }> {
    return this.native.memory();
  }

  /** Waits for the work that was started, then ends the device's thread. Idempotent. */
  async dispose(): Promise<void> {
    try {
      await this.native.close();
    } catch (error) {
      if ((error as EvaClipError).code !== "ERR_EVACLIP_DISPOSED") throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}
