import { z } from "zod";
import { abortable, throwIfAborted } from "./abortable";
import {
  abortSignal,
  checkArgument,
  describeValue,
  oneOf,
  options,
  ownArgument,
  positiveInteger,
  wholeNumber,
} from "./arguments";
import { availableProcessors } from "./container_limits";
import type { EvaClipError } from "./errors";
import { type Logger, loggerArgument } from "./logger";
import { type DeviceInfo, type DeviceKind, type InstructionSet, type NativeDevice, native } from "./native";

export interface DeviceOptions {
  /** Which GPU, numbered from 0 among those that CUDA_VISIBLE_DEVICES shows. Default: the first. */
  readonly index?: number;
  /** Threads of a CPU device. Default: as many as the process may use, a container's CPU limit rounded up. */
  readonly threads?: number;
  /** Instruction set of the CPU kernels. Default: the newest that the processor has. */
  readonly instructionSet?: InstructionSet;
  /** Receives the reason why `auto` chose the CPU. */
  readonly logger?: Logger;
  /** Ends the call: it rejects with the signal's reason, and what is opened later is disposed. */
  readonly signal?: AbortSignal;
}

const KINDS = ["cpu", "cuda"] as const satisfies readonly DeviceKind[];
const CHOICES = [...KINDS, "auto"] as const;

/** A kind of device, or `auto`: CUDA if it works, otherwise the CPU. */
export type DeviceChoice = (typeof CHOICES)[number];

const deviceOptions = options({
  index: wholeNumber.optional(),
  threads: positiveInteger.optional(),
  instructionSet: oneOf("v2", "v3", "v4", "v4_bf16", "generic").optional(),
  logger: loggerArgument.optional(),
  signal: abortSignal.optional(),
});

/** "Copy" as in two installed versions, or two module registries. */
const FOREIGN = "opened by this copy of the package; this one is another copy's";

/** `expected`, with a note about a Device of another copy of the package. */
const expected = (what: string) => (issue: { input?: unknown }) =>
  !(issue.input instanceof Device) && describeValue(issue.input) === "an object of class Device"
    ? `${what}, ${FOREIGN}`
    : what;

/** A processor with one worker thread; jobs run in submission order. */
export class Device implements AsyncDisposable {
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
   * Opens a device, off the event loop. `cuda` never falls back; `auto` uses CUDA if it works and otherwise the CPU, with
   * the reason in `fallbackReason`.
   * @throws EvaClipError (as a rejection) `ERR_EVACLIP_NO_DEVICE` with the reason when the device is not available;
   *   `ERR_EVACLIP_NATIVE_NOT_FOUND` when the package has no binary for this system; `ERR_EVACLIP_INVALID_ARGUMENT`
   */
  static async open(kind: DeviceChoice = "auto", given: DeviceOptions = {}): Promise<Device> {
    checkArgument("Device.open: kind", kind, choiceArgument);
    const options = ownArgument("Device.open: options", given, deviceOptions);
    if (kind !== "auto") return Device.#open(kind, options);
    let reason: string;
    try {
      return await Device.#open("cuda", options);
    } catch (error) {
      throwIfAborted(options.signal);
      reason = (error as Error).message;
    }
    const device = await Device.#open("cpu", options, reason);
    options.logger?.warn?.(`device cpu in place of cuda: ${reason}`);
    return device;
  }

  static async #open(
    kind: DeviceKind,
    { index, threads, instructionSet, signal }: DeviceOptions,
    fallbackReason?: string,
  ): Promise<Device> {
    throwIfAborted(signal);
    const opening = native().openDevice({
      kind,
      index: index ?? 0,
      threads: threads ?? availableProcessors(),
      instructionSet: instructionSet ?? process.env.EVA_CLIP_INSTRUCTION_SET ?? "",
      cudaLibrary: process.env.EVA_CLIP_CUDA_LIBRARY ?? "",
    });
    const opened = await abortable(opening, signal).catch((error: unknown) => {
      // The device has no caller any more. A failure to open it, too.
      if (signal?.aborted) opening.then((late) => late.close()).catch(() => undefined);
      throw error;
    });
    return new Device(opened, opened.info(), fallbackReason);
  }

  /** Checks the private field, which a Proxy, or an object with only the prototype, does not have. */
  static [Symbol.hasInstance](value: unknown): value is Device {
    return typeof value === "object" && value !== null && #disposed in value;
  }

  get disposed(): boolean {
    return this.#disposed !== undefined;
  }

  /** Bytes of the arena that all programs of the device share, and of a GPU's kernel workspace. */
  async memory(): Promise<{ arenaBytes: number; workspaceBytes: number }> {
    return this.native.memory();
  }

  /**
   * Rejects new work immediately, waits for pending work, frees all memory including that of parameters and programs, and
   * stops the device's thread. Idempotent.
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

/** Schema of device options. */
const choiceArgument = z.custom<DeviceChoice>((value) => CHOICES.includes(value as DeviceChoice), {
  error: expected(`one of ${CHOICES.join(", ")}`),
});

/** For functions that compute on a device. */
export const deviceArgument = z.custom<Device>((value) => value instanceof Device, {
  error: expected("a Device"),
});

/** For functions that take an open device or open one. */
export const deviceOrChoice = z.custom<Device | DeviceChoice>(
  (value) => value instanceof Device || CHOICES.includes(value as DeviceChoice),
  { error: expected(`one of ${CHOICES.join(", ")}, or a Device`) },
);
