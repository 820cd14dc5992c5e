import type { Logger } from "../logger";
import type { AllowedHost } from "./allowed_hosts";
import type { Batcher } from "./batcher";
import type { LabelEmbeddings } from "./endpoints/label_embeddings";
import type { Metrics } from "./metrics";
import type { Readiness } from "./readiness";
import type { ServedIndex } from "./served_index";

/** What requests may ask for. */
export interface Limits {
  /** Bytes of a body. Default 32 MiB. */
  readonly maxBodyBytes: number;
  /** Bytes of all bodies under way; requests beyond are answered with status 429. Default 1 GiB. */
  readonly maxPendingBytes: number;
  /** Pixels of an image, read from its header before it is decoded. Default 50 million. */
  readonly maxPixels: number;
  /** Images of a request. Default 32. */
  readonly maxImages: number;
  /** Texts of a request, or prompts of a classification. Default 2048, as in OpenAI's API. */
  readonly maxTexts: number;
  /** Milliseconds until a request is given up with status 504. Default 30,000. */
  readonly timeoutMs: number;
}

/** What the endpoints of one handler share. */
export interface ServiceContext {
  /** By the name that requests give. */
  readonly models: ReadonlyMap<string, Batcher>;
  readonly limits: Limits;
  readonly maxBatch: number;
  readonly maxQueue: number;
  /** Hosts of which images may be fetched; none unless stated. */
  readonly allowImageHosts: readonly AllowedHost[];
  /** What is searched; none unless stated. */
  readonly index: ServedIndex | undefined;
  readonly labels: LabelEmbeddings;
  readonly metrics: Metrics;
  readonly readiness: Readiness;
  readonly logger: Logger | undefined;
}
