import { z } from "zod";
import {
  abortSignal,
  flag,
  invalidArgument,
  oneOf,
  options as optionsOf,
  ownArgument,
  pathText,
  positiveInteger,
  text,
} from "../../../arguments";
import { abortable, throwIfAborted } from "../../../abortable";
import { EvaClipError } from "../../../errors";
import { isFaultOfFile } from "../../../io/file_error";
import { shownPath } from "../../../io/regular_file";
import { anotherRunError } from "../../loader/loader_cursor";
import { missingPathError } from "../data_path";
import { annotationsOption } from "../../annotations_option";
import type { Annotations, Dataset, EpochRequest, Json, Sample, SampleContent } from "../../dataset";
import { CounterRandom, permute } from "../../../random";
import { SampleError } from "../../../sample_error";
import { ShardContent } from "./shard_content";
import { shardsOf } from "./shard_paths";
import { shuffleWindows } from "./shuffle_window";
import { systemTrouble, troubleError } from "../../system_trouble";
import { readShard, type ShardSample } from "./tar_shard";

export interface WebDatasetOptions {
  /** Extensions of the image; the first one present is used. Default `jpg;png;jpeg;webp`. */
  readonly imageKey?: string;
  /** Extensions of the caption; the first one present is used. Default `txt`. */
  readonly textKey?: string;
  /** Fields of the .json member with the caption or captions, used if there is no text member. Default `caption`. */
  readonly jsonTextKey?: string;
  /** Samples shuffled together, all held in memory. Default 1000. */
  readonly shuffleBuffer?: number;
  /** Draw shards with replacement, indefinitely; requires `samplesPerEpoch`. */
  readonly resampled?: boolean;
  /** Ends an epoch after this many samples. */
  readonly samplesPerEpoch?: number;
  /** A missing, damaged or truncated shard is an error (the default), or a skip that the loader counts. */
  readonly damagedShards?: "error" | "skip";
  /** `captions` (the default), or `all`: captions are optional, and samples have the fields of .json members as metadata. */
  readonly annotations?: Annotations;
}

const webDatasetFields = {
  imageKey: text.min(1).optional(),
  textKey: text.min(1).optional(),
  jsonTextKey: text.min(1).optional(),
  shuffleBuffer: positiveInteger.optional(),
  resampled: flag.optional(),
  samplesPerEpoch: positiveInteger.optional(),
  damagedShards: oneOf("error", "skip").optional(),
  annotations: annotationsOption,
};
export const webDatasetOptions = optionsOf(webDatasetFields).optional();
const openingOptions = optionsOf({ ...webDatasetFields, signal: abortSignal.optional() });
const SHARDS = z.union([pathText, z.array(pathText)], {
  error: "a path, a pattern of paths, or a list of these",
});

/** Where to resume an epoch: `emitted` samples of the window that starts at `sample` of `shard` are used. */
interface Position {
  readonly shard: number;
  readonly sample: number;
  readonly emitted: number;
  readonly index: number;
  /** The order depends on these and the seed; stored to detect a change. */
  readonly shards: number;
  readonly shuffleBuffer: number;
}

/** A sample, or the error at the end of a damaged shard, with its position in the stream. */
interface Placed {
  readonly shard: number;
  readonly ordinal: number;
  readonly path: string;
  readonly content: ShardSample | EvaClipError;
}

const SHARD_STREAM = 1;
const WINDOW_STREAM = 2;

/** Resampling fails after drawing this many times the number of shards in a row without finding a sample. */
const MOST_EMPTY_DRAWS = 20;

type Order = Pick<Position, "shards" | "shuffleBuffer">;

function parsePosition(position: Json | undefined, order: Order): Position {
  if (position === undefined || position === null) {
    return { shard: 0, sample: 0, emitted: 0, index: 0, ...order };
  }
  const candidate = { ...order, ...(position as unknown as Position) };
  const { shard, sample, emitted, index } = candidate;
  if (![shard, sample, emitted, index].every((number) => Number.isSafeInteger(number) && number >= 0)) {
    const message = `the cursor is not a WebDataset position: found ${shownPath(JSON.stringify(position))}`;
    throw new EvaClipError("ERR_EVACLIP_DATA", message, { position });
  }
  for (const name of ["shards", "shuffleBuffer"] as const) {
    const [expected, found] = [order[name], candidate[name]];
    if (expected === found) continue;
    throw anotherRunError(name, expected, found);
  }
  return candidate;
}

class WebDataset implements Dataset {
  readonly size?: number;
  private readonly content: ShardContent;

  constructor(
    private readonly shards: readonly string[],
    private readonly options: WebDatasetOptions,
  ) {
    if (options.samplesPerEpoch !== undefined) this.size = options.samplesPerEpoch;
    const { imageKey = "jpg;png;jpeg;webp", textKey = "txt", jsonTextKey = "caption" } = options;
    this.content = new ShardContent(imageKey, textKey, jsonTextKey, options.annotations);
  }

  open(request: EpochRequest): AsyncGenerator<Sample> {
    const shuffleBuffer = request.shuffle ? (this.options.shuffleBuffer ?? 1000) : 1;
    const order = { shards: this.shards.length, shuffleBuffer };
    return this.samples(request, parsePosition(request.position, order));
  }

  private async *samples(request: EpochRequest, start: Position): AsyncGenerator<Sample> {
    const { seed, epoch } = request;
    const { shards, shuffleBuffer } = start;
    const runOrder = { shards, shuffleBuffer };
    const order = (n: number, length: number, first: Placed) =>
      permute(n, length, seed, epoch, WINDOW_STREAM, first.shard, first.ordinal);
    let { index } = start;
    let toRepeat = start.emitted;
    for await (const shuffled of shuffleWindows(this.stream(request, start), shuffleBuffer, order)) {
      if (index === this.options.samplesPerEpoch) return;
      if (toRepeat > 0) {
        toRepeat--;
        continue;
      }
      const { item, first, emitted, last } = shuffled;
      index++;
      const next =
        last === undefined
          ? { shard: first.shard, sample: first.ordinal, emitted, index, ...runOrder }
          : { shard: last.shard, sample: last.ordinal + 1, emitted: 0, index, ...runOrder };
      const key = item.content instanceof EvaClipError ? item.path : `${item.path}#${item.content.key}`;
      yield { key, epoch, index: index - 1, next, read: async () => this.read(item, key) };
    }
  }

  /** The samples of the epoch in shard order, from `start` on. */
  private async *stream(request: EpochRequest, start: Position): AsyncGenerator<Placed> {
    let emptyDraws = 0;
    for (let shard = start.shard; this.options.resampled === true || shard < this.shards.length; shard++) {
      const path = this.shards[this.shardAt(shard, request)]!;
      const toSkip = shard === start.shard ? start.sample : 0;
      let ordinal = 0;
      for await (const content of this.samplesOf(path)) {
        if (ordinal >= toSkip) yield { shard, ordinal, path, content };
        ordinal++;
      }
      emptyDraws = ordinal > 0 ? 0 : emptyDraws + 1;
      if (emptyDraws > MOST_EMPTY_DRAWS * this.shards.length) {
        const message = `the shards contain no samples: ${emptyDraws} drawn in a row are empty, the last ${shownPath(path)}`;
        throw new EvaClipError("ERR_EVACLIP_DATA", message, { shard: path });
      }
    }
  }

  private shardAt(place: number, { seed, epoch, shuffle }: EpochRequest): number {
    const count = this.shards.length;
    if (this.options.resampled === true)
      return new CounterRandom(seed, epoch, SHARD_STREAM, place).below(count);
    return shuffle ? permute(place, count, seed, epoch, SHARD_STREAM) : place;
  }

  private read({ content }: Placed, key: string): SampleContent {
    if (content instanceof EvaClipError) throw content;
    return this.content.contentOf(content, key);
  }

  private async *samplesOf(path: string): AsyncGenerator<ShardSample | EvaClipError> {
    let last = "none";
    let count = 0;
    try {
      for await (const sample of readShard(path, this.content.wanted)) {
        yield sample;
        last = sample.key;
        count++;
      }
    } catch (error) {
      const damage = await damageOf(path, error, last, count);
      if (this.options.damagedShards !== "skip") throw damage;
      yield damage;
    }
  }
}

/** The error for a missing, truncated or damaged shard. @throws EvaClipError `ERR_EVACLIP_IO` for a system error */
async function damageOf(path: string, error: unknown, last: string, samples: number): Promise<EvaClipError> {
  const trouble = systemTrouble(error);
  if (trouble !== undefined) throw troubleError(path, trouble);
  const { code, message } = error as NodeJS.ErrnoException;
  const details = { shard: path, lastSample: last, samples };
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new SampleError("missing_file", (await missingPathError(path)).message, details, error);
  }
  if (code === "ERR_EVACLIP_DATA" || (code !== undefined && isFaultOfFile(code))) {
    const reason =
      code === "ERR_EVACLIP_DATA" ? message : `cannot read the shard ${shownPath(path)}: ${code}`;
    return new SampleError("unreadable_file", reason, details, error);
  }
  const place = `after ${samples} samples (last complete one: ${last})`;
  const problem = `the shard ${shownPath(path)} is damaged or truncated ${place}: ${message}`;
  return new SampleError("damaged_shard", problem, details, error);
}

/**
 * WebDataset shards: tar files, plain or compressed with gzip or zstd; members with the same key form a sample.
 *
 * @param given a path, a brace pattern such as `train-{0000..0099}.tar`, a folder of shards, or a list of these; `::`
 *   joins several in one string, as in open_clip
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for conflicting options; reading an epoch throws
 *   `ERR_EVACLIP_DATA` naming a damaged shard and its last complete sample, and `ERR_EVACLIP_IO` for system errors
 */
export async function openWebDataset(
  given: string | readonly string[],
  how: WebDatasetOptions & { readonly signal?: AbortSignal } = {},
): Promise<Dataset> {
  const shards = ownArgument("openWebDataset: shards", given, SHARDS);
  const { signal, ...options } = ownArgument("openWebDataset: options", how, openingOptions);
  if (options.resampled === true && options.samplesPerEpoch === undefined) {
    throw invalidArgument(
      "openWebDataset: options.resampled requires samplesPerEpoch, the length of an epoch",
    );
  }
  const patterns = (typeof shards === "string" ? [shards] : shards).flatMap((joined) => joined.split("::"));
  throwIfAborted(signal);
  const paths = (await abortable(Promise.all(patterns.map(shardsOf)), signal)).flat();
  if (paths.length === 0) throw invalidArgument("openWebDataset: shards must name at least one shard");
  return new WebDataset(paths, options);
}
