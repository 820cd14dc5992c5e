import { availableParallelism } from "node:os";
import { z } from "zod";
import { checkArgument, describeValue, options, ownArgument, positiveInteger, text } from "./arguments";
import type { EvaClipError } from "./errors";
import { type DeviceInfo, type NativeDevice, native } from "./native";

export interface DeviceOptions {
  /** Threads of the CPU backend; by default as many as the process may use. */
  threads?: number;
  /** `v2`, `v3` or `v4`: the x86-64 level of the CPU kernels; by default the newest the processor has. */
  instructionSet?: string;
}

const KINDS = ["cpu", "cuda", "auto"] as const;
export type DeviceKind = (typeof KINDS)[number];

const deviceOptions = options({ threads: positiveInteger.optional(), instructionSet: text.optional() });

/** "Copy" as in two installed versions, or two module registries. */
const FOREIGN = "opened by this copy of the package; this one is another copy's";

/** `what`, or what to say of another copy's Device. */
const expected = (what: string) => (issue: { input?: unknown }) =>
  !(issue.input instanceof Device) && describeValue(issue.input) === "an object of class Device"
    ? `${what}, ${FOREIGN}`
    : what;

/** A processor with a thread of its own, on which everything compiled for it runs in the order it was started. */
export class Device {
  #disposed: Promise<void> | undefined;

  /** @internal */
  readonly native: NativeDevice;

  private constructor(
    native: NativeDevice,
    readonly info: DeviceInfo,
    /** Why `auto` did not choose CUDA. */
    readonly fallbackReason: string | undefined,
  ) {
    this.native = native;
  }

  /**
   * Opens a device, off the event loop. `cuda` never falls back; `auto` takes CUDA where it works and otherwise the CPU,
   * with the reason in `fallbackReason`.
   * @throws EvaClipError (as a rejection) `ERR_EVACLIP_NO_DEVICE` when the device is not available, saying why;
   *   `ERR_EVACLIP_INVALID_ARGUMENT`.
   */
  static async open(kind: DeviceKind = "auto", given: DeviceOptions = {}): Promise<Device> {
    checkArgument("Device.open: kind", kind, kindSchema);
    const options = ownArgument("Device.open: options", given, deviceOptions);
    if (kind !== "auto") return openNative(kind);
    try {
      return await openNative("cuda");
    } catch (reason) {
      return openNative("cpu", (reason as Error).message);
    }

    async function openNative(wanted: string, fallbackReason?: string): Promise<Device> {
      const opened = await native.openDevice({
        kind: wanted,
        threads: options.threads ?? availableParallelism(),
        instructionSet: options.instructionSet ?? process.env.EVA_CLIP_INSTRUCTION_SET ?? "",
        cudaLibrary: process.env.EVA_CLIP_CUDA_LIBRARY ?? "",
      });
      return new Device(opened, opened.info(), fallbackReason);
    }
  }

  /** By what it has: what is behind a Proxy, or has the prototype alone, lacks the private fields. */
  static [Symbol.hasInstance](value: unknown): value is Device {
    return typeof value === "object" && value !== null && #disposed in value;
  }

  /** Bytes of the arena that all programs of the device share, and of a GPU's kernels' own memory beside it. */
  async memory(): Promise<{ arenaBytes: number; workspaceBytes: number }> {
    return this.native.memory();
  }

  /**
   * Takes no more work at once; waits for the work that was started, gives all memory back, that of parameters and
   * programs included, and ends the device's thread. Idempotent.
   */
  async dispose(): Promise<void> {
    this.#disposed ??= this.native.close().catch((error: EvaClipError) => {
      if (error.code !== "ERR_EVACLIP_DISPOSED") throw error; // the process is ending
    });
    await this.#disposed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

const kindSchema = z.custom<DeviceKind>((value) => KINDS.includes(value as DeviceKind), {
  error: expected(`one of ${KINDS.join(", ")}`),
});

/** For functions that compute on a device. */
export const deviceArgument = z.custom<Device>((value) => value instanceof Device, {
  error: expected("a Device"),
});
