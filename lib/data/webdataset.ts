import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { EvaClipError } from "../errors";
import { expandBraces } from "./brace_expansion";
import type { Dataset, EpochRequest, Json, Sample, SampleContent } from "./dataset";
import { CounterRandom, permute } from "./random";
import { SampleError } from "./sample_error";
import { shuffleWindows } from "./shuffle_window";
import { readShard, type ShardSample } from "./tar_shard";

export interface WebDatasetOptions {
  /** Extensions of the image, the first present wins. Default `jpg;png;jpeg;webp`. */
  readonly imageKey?: string;
  /** Extension of the caption. Default `txt`. */
  readonly textKey?: string;
  /** Field of the sample's .json that holds the caption when there is no text member. Default `caption`. */
  readonly jsonTextKey?: string;
  /** Samples shuffled together. Default 1000; the memory they take is their files' sizes. */
  readonly shuffleBuffer?: number;
  /** Draw shards with replacement, without end; needs `samplesPerEpoch`. */
  readonly resampled?: boolean;
  /** Ends an epoch after so many samples. */
  readonly samplesPerEpoch?: number;
  /** A shard that is missing, broken or cut short: an error (the default), or a skip that the loader counts. */
  readonly damagedShards?: "error" | "skip";
}

/** Where an epoch's stream goes on: `emitted` samples of the window that starts at `sample` of `shard` are used. */
interface Position {
  readonly shard: number;
  readonly sample: number;
  readonly emitted: number;
  readonly index: number;
}

/** A sample of the stream and its place in it, or the error that ends a damaged shard. */
interface Placed {
  readonly shard: number;
  readonly ordinal: number;
  readonly path: string;
  readonly content: ShardSample | EvaClipError;
}

const SHARD_STREAM = 1;
const WINDOW_STREAM = 2;

function invalid(message: string, details: Record<string, unknown>): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message, details);
}

function parsePosition(position: Json | undefined): Position {
  if (position === undefined || position === null) return { shard: 0, sample: 0, emitted: 0, index: 0 };
  const candidate = position as unknown as Position;
  const numbers = [candidate.shard, candidate.sample, candidate.emitted, candidate.index];
  if (!numbers.every((number) => Number.isSafeInteger(number) && number >= 0)) {
    const message = `the cursor is not one of a web dataset: found ${JSON.stringify(position)}`;
    throw new EvaClipError("ERR_EVACLIP_DATA", message, { position });
  }
  return candidate;
}

class WebDataset implements Dataset {
  readonly size?: number;
  private readonly imageKeys: readonly string[];
  private readonly textKey: string;
  private readonly jsonTextKey: string;
  private readonly wanted: ReadonlySet<string>;

  constructor(
    private readonly shards: readonly string[],
    private readonly options: WebDatasetOptions,
  ) {
    if (options.samplesPerEpoch !== undefined) this.size = options.samplesPerEpoch;
    this.imageKeys = (options.imageKey ?? "jpg;png;jpeg;webp").toLowerCase().split(";");
    this.textKey = (options.textKey ?? "txt").toLowerCase();
    this.jsonTextKey = options.jsonTextKey ?? "caption";
    this.wanted = new Set([...this.imageKeys, this.textKey, "json"]);
  }

  async *open(request: EpochRequest): AsyncGenerator<Sample> {
    const { seed, epoch, shuffle } = request;
    const start = parsePosition(request.position);
    const windowSize = shuffle ? (this.options.shuffleBuffer ?? 1000) : 1;
    const order = (n: number, length: number, first: Placed) =>
      permute(n, length, seed, epoch, WINDOW_STREAM, first.shard, first.ordinal);
    let { index } = start;
    let toRepeat = start.emitted;
    for await (const shuffled of shuffleWindows(this.stream(request, start), windowSize, order)) {
      if (index === this.options.samplesPerEpoch) return;
      if (toRepeat > 0) {
        toRepeat--;
        continue;
      }
      const { item, first, emitted, last } = shuffled;
      index++;
      const next =
        last === undefined
          ? { shard: first.shard, sample: first.ordinal, emitted, index }
          : { shard: last.shard, sample: last.ordinal + 1, emitted: 0, index };
      const key = item.content instanceof EvaClipError ? item.path : `${item.path}#${item.content.key}`;
      yield { key, epoch, index: index - 1, next, read: async () => this.contentOf(item, key) };
    }
  }

  /** All samples of the epoch in shard order, from a place in it. */
  private async *stream(request: EpochRequest, start: Position): AsyncGenerator<Placed> {
    for (let shard = start.shard; this.options.resampled === true || shard < this.shards.length; shard++) {
      const path = this.shards[this.shardAt(shard, request)]!;
      const toSkip = shard === start.shard ? start.sample : 0;
      let ordinal = 0;
      for await (const content of this.samplesOf(path)) {
        if (ordinal >= toSkip) yield { shard, ordinal, path, content };
        ordinal++;
      }
    }
  }

  private shardAt(place: number, { seed, epoch, shuffle }: EpochRequest): number {
    const count = this.shards.length;
    if (this.options.resampled === true)
      return new CounterRandom(seed, epoch, SHARD_STREAM, place).below(count);
    return shuffle ? permute(place, count, seed, epoch, SHARD_STREAM) : place;
  }

  private async *samplesOf(path: string): AsyncGenerator<ShardSample | EvaClipError> {
    let last = "none";
    let count = 0;
    try {
      for await (const sample of readShard(path, this.wanted)) {
        yield sample;
        last = sample.key;
        count++;
      }
      if (count === 0) throw new Error("it holds no sample");
    } catch (error) {
      const problem = (error as Error).message;
      const message = `the shard ${path} is damaged or cut short after ${count} samples (last whole one: ${last}): ${problem}`;
      const damage = new SampleError(
        "damaged_shard",
        message,
        { shard: path, lastSample: last, samples: count },
        error,
      );
      if (this.options.damagedShards !== "skip") throw damage;
      yield damage;
    }
  }

  private contentOf({ content }: Placed, key: string): SampleContent {
    if (content instanceof EvaClipError) throw content;
    const imageKey = this.imageKeys.find((extension) => content.members.has(extension));
    if (imageKey === undefined) {
      throw new SampleError("missing_image", `${key} has no ${this.imageKeys.join(", ")} member`, { key });
    }
    return { image: content.members.get(imageKey)!, captions: this.captionsOf(content, key) };
  }

  private captionsOf({ members }: ShardSample, key: string): string[] {
    const text = members.get(this.textKey);
    if (text !== undefined) return [text.toString("utf8")];
    const json = members.get("json");
    if (json === undefined) {
      throw new SampleError("missing_caption", `${key} has neither a ${this.textKey} nor a json member`, {
        key,
      });
    }
    try {
      const caption = (JSON.parse(json.toString("utf8")) as Record<string, unknown> | null)?.[
        this.jsonTextKey
      ];
      return typeof caption === "string" ? [caption] : [];
    } catch (error) {
      throw new SampleError("missing_caption", `${key} has a json member that is not JSON`, { key }, error);
    }
  }
}

async function shardsOf(pattern: string): Promise<string[]> {
  const isFolder = await stat(pattern).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) return expandBraces(pattern);
  const names = (await readdir(pattern)).filter((name) => /\.(tar|tgz|tar\.gz)$/.test(name));
  return names.sort().map((name) => join(pattern, name));
}

/**
 * WebDataset shards: tar files whose members of the same name make a sample.
 *
 * @param shards a path, a brace pattern such as `train-{0000..0099}.tar`, a folder of shards, or a list of these; `::`
 *   joins several in one string, as in open_clip
 * @throws EvaClipError ERR_EVACLIP_INVALID_ARGUMENT for options that do not go together; reading an epoch throws
 *   ERR_EVACLIP_DATA naming a damaged shard and its last whole sample
 */
export async function openWebDataset(
  shards: string | readonly string[],
  options: WebDatasetOptions = {},
): Promise<Dataset> {
  const { shuffleBuffer = 1, samplesPerEpoch, resampled } = options;
  if (!Number.isInteger(shuffleBuffer) || shuffleBuffer < 1) {
    throw invalid(`shuffleBuffer must be a positive integer, found ${shuffleBuffer}`, { shuffleBuffer });
  }
  if (samplesPerEpoch !== undefined && (!Number.isInteger(samplesPerEpoch) || samplesPerEpoch < 1)) {
    throw invalid(`samplesPerEpoch must be a positive integer, found ${samplesPerEpoch}`, {
      samplesPerEpoch,
    });
  }
  if (resampled === true && samplesPerEpoch === undefined) {
    throw invalid("resampled shards have no end: samplesPerEpoch must say how long an epoch is", {});
  }
  const patterns = (typeof shards === "string" ? [shards] : shards).flatMap((text) => text.split("::"));
  const paths = (await Promise.all(patterns.map(shardsOf))).flat();
  if (paths.length === 0) throw invalid(`there is no shard in ${patterns.join(", ")}`, { shards: patterns });
  return new WebDataset(paths, options);
}
