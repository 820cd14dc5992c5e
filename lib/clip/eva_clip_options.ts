import type { ConfigStatement } from "../weights/config/resolve_config";
import type { Tokenizer } from "../text/tokenizer";
import { Device, type DeviceChoice } from "../device";
import { EvaClipError } from "../errors";
import type { Precision } from "../models/precision";
import type { WeightsChoice } from "../io/moving_average";
import type { InitScheme } from "../nn/initialization";

export interface OpenOptions {
  /** Default `auto`. A `Device` that is open already is used, and stays open when the model is disposed. */
  readonly device?: DeviceChoice | Device;
  /** Threads of the CPU. Default: as many as the process may use. */
  readonly threads?: number;
  /** What the model computes in; `bf16` also keeps its matrices in 16 bits. Default `f32`. */
  readonly precision?: Precision;
  /** Default CLIP's. */
  readonly tokenizer?: Tokenizer;
}

export interface CreateOptions extends OpenOptions {
  /** Chooses the initial weights. Default 0. */
  readonly seed?: number;
  /** How weights start: as published (the default), or by the width, which suits small models. */
  readonly init?: InitScheme;
}

export interface LoadOptions extends OpenOptions, ConfigStatement, WeightsChoice {
  /** How what the file does not fill starts, such as the rows of a longer context. Default as published. */
  readonly init?: InitScheme;
  readonly signal?: AbortSignal;
}

export interface CallOptions {
  /** Ends the call: it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface EncodeOptions extends CallOptions {
  /** Give embeddings unit length. Default true. */
  readonly normalize?: boolean;
  /** Most samples encoded at a time. Default 32. */
  readonly batchSize?: number;
}

/** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for a type that is not one of the two. */
export function checkPrecision(precision: string): void {
  if (precision === "f32" || precision === "bf16") return;
  throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `precision must be f32 or bf16, found ${precision}`);
}

/** The device asked for, and whether it was opened for this call. */
export async function openDevice({
  device = "auto",
  threads,
}: OpenOptions): Promise<{ device: Device; owned: boolean }> {
  if (device instanceof Device) return { device, owned: false };
  return { device: await Device.open(device, threads === undefined ? {} : { threads }), owned: true };
}
