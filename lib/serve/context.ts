import type { Logger } from "../logger";
import type { Batcher } from "./batcher";

/** What one request may ask for. */
export interface Limits {
  /** Bytes of a body. */
  readonly maxBodyBytes: number;
  /** Pixels of an image, read from its header before it is decoded. */
  readonly maxPixels: number;
  readonly maxImages: number;
  readonly maxTexts: number;
  /** Milliseconds until a request is given up with status 504. */
  readonly timeoutMs: number;
}

/** What the endpoints of one handler share. */
export interface ServiceContext {
  /** By the name that requests give. */
  readonly models: ReadonlyMap<string, Batcher>;
  readonly limits: Limits;
  /** Hosts of which images may be fetched; none unless stated. */
  readonly allowImageHosts: readonly string[];
  readonly logger: Logger | undefined;
}
