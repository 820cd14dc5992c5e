import { z } from "zod";
import {
  checkArgument,
  finiteNumber,
  flag,
  instanceOf,
  invalidArgument,
  listOf,
  options,
  ownArgument,
  positiveInteger,
  text,
  wholeNumber,
} from "../arguments";
import { EvaClip } from "../clip/eva_clip";
import { type Logger, loggerArgument } from "../logger";
import type { VectorStore } from "../search/vector_store";
import type { BatchOptions } from "./batcher";
import type { Limits } from "./context";
import type { ReadinessOptions } from "./readiness";

export interface HandlerOptions extends BatchOptions {
  /** Samples that wait for a batch, per model; requests beyond are answered with status 429. Default 4096. */
  readonly maxQueue?: number;
  readonly limits?: Partial<Limits>;
  /** Keys that requests must give as `Authorization: Bearer KEY`. Default none. */
  readonly apiKey?: string | readonly string[];
  /** Origins of web pages that may send requests, such as `https://example.com`; `true` for all. Default none. */
  readonly cors?: boolean | readonly string[];
  /** Hosts of which https images are fetched: `images.example.com`, `*.example.com`, `*`. Default none. */
  readonly allowImageHosts?: readonly string[];
  /** The beginning of the paths where the handler is mounted, such as `/clip`, if the framework does not remove it. */
  readonly basePath?: string;
  /** What `POST /v1/search` searches; it stays open when the handler is disposed. Default none. */
  readonly index?: VectorStore;
  /** Serve the page for people at `/`. Default false. */
  readonly page?: boolean;
  /** The tiny batch of `/readyz`. */
  readonly readiness?: ReadinessOptions;
  /** Told of errors that clients are not told. */
  readonly logger?: Logger;
}

export const DEFAULT_LIMITS: Limits = Object.freeze({
  maxBodyBytes: 32 * 2 ** 20,
  maxPendingBytes: 2 ** 30,
  maxPixels: 50_000_000,
  maxImages: 32,
  maxTexts: 2048,
  timeoutMs: 30_000,
});
const DEFAULT_BATCH = 32;
const DEFAULT_QUEUE = 4096;

/** The longest that a timer of Node can wait. */
const LONGEST_MS = 2 ** 31 - 1;
const milliseconds = positiveInteger.max(LONGEST_MS);

/** Duck-typed, so that stores of one's own are accepted. */
const vectorStore = z.custom<VectorStore>(
  (value) =>
    typeof (value as VectorStore | null)?.nearest === "function" &&
    typeof (value as VectorStore).entry === "function",
  { error: "an open index" },
);

const handlerOptions = options({
  maxBatch: positiveInteger.optional(),
  maxDelayMs: finiteNumber.min(0).optional(),
  maxQueue: positiveInteger.optional(),
  limits: options({
    maxBodyBytes: positiveInteger.optional(),
    maxPendingBytes: positiveInteger.optional(),
    maxPixels: positiveInteger.optional(),
    maxImages: positiveInteger.optional(),
    maxTexts: positiveInteger.optional(),
    timeoutMs: milliseconds.optional(),
  }).optional(),
  apiKey: z
    .union([text.min(1), listOf(text.min(1), "a list of keys")], { error: "a key or a list of keys" })
    .optional(),
  cors: z
    .union([flag, listOf(text, "a list of origins")], { error: "true, or a list of origins" })
    .optional(),
  allowImageHosts: listOf(text, "a list of hosts").optional(),
  basePath: text
    .regex(/^(\/[^/?#]+)+$/, { error: "a path that begins with / and does not end with it" })
    .optional(),
  index: vectorStore.optional(),
  page: flag.optional(),
  readiness: options({ timeoutMs: milliseconds.optional(), cacheMs: wholeNumber.optional() }).optional(),
  logger: loggerArgument.optional(),
});

const aModel = instanceOf(EvaClip);

/** The name of a model that is given without one. */
const ONLY_MODEL = "eva-clip";

/** The models by their names. @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` */
export function namedModels(models: unknown): ReadonlyMap<string, EvaClip> {
  if (models instanceof EvaClip) return new Map([[ONLY_MODEL, models]]);
  const record = z.record(text.min(1), aModel, { error: "an EvaClip, or an object of them by their names" });
  const named = new Map(Object.entries(ownArgument("createHandler: models", models, record) as object));
  if (named.size > 0) return named;
  throw invalidArgument("createHandler: models must have at least one model", { field: "models" });
}

/** The options with their defaults. @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` */
export function readOptions(given: HandlerOptions) {
  const own = ownArgument("createHandler: options", given, handlerOptions);
  const { maxBatch = DEFAULT_BATCH, maxQueue = DEFAULT_QUEUE, apiKey = [] } = own;
  const limits = { ...DEFAULT_LIMITS, ...own.limits };
  // A queue that is shorter than a request would refuse it even when it is empty.
  for (const field of ["maxTexts", "maxImages"] as const) {
    if (own.limits?.[field] === undefined) limits[field] = Math.min(limits[field], maxQueue);
    checkArgument(`createHandler: options.limits.${field}`, limits[field], positiveInteger.max(maxQueue));
  }
  return { ...own, maxBatch, maxQueue, limits, keys: [apiKey].flat() };
}
