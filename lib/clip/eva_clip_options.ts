import type { ConfigStatement } from "../weights/config/resolve_config";
import type { Tokenizer } from "../text/tokenizer";
import { Device, type DeviceChoice } from "../device";
import type { Logger } from "../logger";
import type { WriteWeightsOptions } from "../weights/write_weights";
import type { OpenWeightsOptions } from "../weights/open_weights";
import type { Precision } from "../models/precision";
import type { InitScheme } from "../nn/initialization";

export interface OpenOptions {
  /** Default `auto`. An open `Device` is used, and stays open when the model is disposed. */
  readonly device?: DeviceChoice | Device;
  /** Threads of a CPU device. Default: as many as the process may use. */
  readonly threads?: number;
  /** Precision of computations; `bf16` also stores the matrices in 16 bits. Default `f32`. */
  readonly precision?: Precision;
  /** Default CLIP's. */
  readonly tokenizer?: Tokenizer;
  /** Receives decisions such as falling back to the CPU, or resized weights. Default none. */
  readonly logger?: Logger;
  /** Ends the call: it rejects with the signal's reason, and what was opened is freed. */
  readonly signal?: AbortSignal;
}

export interface CreateOptions extends OpenOptions {
  /** Seed of the random initial weights. Default 0. */
  readonly seed?: number;
  /** Initial weights: `published` (the default), or `fan_in`, which suits small models. */
  readonly init?: InitScheme;
}

export interface LoadOptions extends OpenOptions, ConfigStatement, OpenWeightsOptions {
  /** Initial weights where the file has none, such as for the rows of a longer context. Default `published`. */
  readonly init?: InitScheme;
  /**
   * Called with the fraction of parameters loaded, increasing from 0 to 1. The load awaits it; if it throws or rejects, so
   * does the load.
   */
  readonly onProgress?: (fraction: number) => unknown;
}

export interface CallOptions {
  /** Ends the call: it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** As of `writeWeights`. */
export interface SaveOptions extends Pick<WriteWeightsOptions, "layout" | "dtype">, CallOptions {}

export interface EncodeOptions extends CallOptions {
  /** Normalize embeddings to unit length. Default true. */
  readonly normalize?: boolean;
  /** Maximum number of samples encoded at a time. Default 32. */
  readonly batchSize?: number;
}

/** Embeddings [E] in the order of the inputs, and undefined for those of which `onError` was told. */
export type EmbeddingStream<Missing = never> = AsyncGenerator<Float32Array | Missing, void>;

export interface StreamOptions extends EncodeOptions {
  /**
   * Called for an unusable image or caption, with its error and its index; the stream awaits it, then yields
   * undefined in the place of the embedding. If it throws or rejects, so does the stream. Without it, the stream rejects
   * with the error.
   */
  readonly onError?: (error: unknown, index: number) => unknown;
}

/** The device of the options, and whether it was opened by this call. */
export async function openDevice({
  device = "auto",
  threads,
  logger,
  signal,
}: OpenOptions): Promise<{ device: Device; owned: boolean }> {
  if (device instanceof Device) return { device, owned: false };
  const options = {
    ...(threads !== undefined && { threads }),
    ...(logger && { logger }),
    ...(signal && { signal }),
  };
  return { device: await Device.open(device, options), owned: true };
}
