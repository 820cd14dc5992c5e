import { totalmem } from "node:os";
import { throwIfAborted } from "./abortable";
import { abortSignal, options as optionsOf, ownArgument } from "./arguments";
import { Device } from "./device";
import type { EvaClipError } from "./errors";
import type { DeviceInfo, DeviceKind } from "./native";

/** A device of this machine, or the reason why it cannot be used. */
export type ListedDevice = {
  readonly kind: DeviceKind;
  /** Index within its kind. */
  readonly index: number;
} & (
  | {
      readonly available: true;
      readonly name: string;
      /** The machine's memory, or the GPU's, in bytes. */
      readonly memoryBytes: number;
      readonly info: DeviceInfo;
    }
  | {
      readonly available: false;
      readonly reason: string;
      /** What the device needs that was not found, such as a driver for CUDA 12.0 or newer. */
      readonly needed?: string;
      readonly found?: string;
    }
);

export interface ListDevicesOptions {
  /** Ends the call: it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

const listOptions = optionsOf({ signal: abortSignal.optional() });

async function probe(kind: DeviceKind, { signal }: ListDevicesOptions): Promise<ListedDevice> {
  try {
    await using device = await Device.open(kind, { ...(signal && { signal }) });
    const { info } = device;
    return {
      kind,
      index: 0,
      available: true,
      name: info.name,
      memoryBytes: info.memoryBytes ?? totalmem(),
      info,
    };
  } catch (error) {
    throwIfAborted(signal);
    const { message, details } = error as EvaClipError;
    const { needed, found } = (details ?? {}) as { needed?: string; found?: string };
    const lack = { ...(needed !== undefined && { needed }), ...(found !== undefined && { found }) };
    return { kind, index: 0, available: false, reason: message, ...lack };
  }
}

/**
 * The devices that `Device.open` can open, each opened and closed once: the CPU, and the first GPU. A device that cannot
 * be used is listed with the reason, such as a missing driver or binary.
 */
export async function listDevices(
  options: ListDevicesOptions = {},
): Promise<[cpu: ListedDevice, cuda: ListedDevice]> {
  const own = ownArgument("listDevices: options", options, listOptions);
  return [await probe("cpu", own), await probe("cuda", own)];
}
