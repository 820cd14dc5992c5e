import { types } from "node:util";
import { describeValue } from "../../arguments";
import { EvaClipError } from "../../errors";
import { sharedArray } from "../../host_tensor";
import type { Batch } from "./batch";
import type { Json } from "../dataset";
import type { LoaderCursor } from "./loader_cursor";
import type { LoaderOptions, Skip } from "./loader_options";
import { type PackedText, packText, usualBucket } from "../../text/pack_text";
import type { Prepared, Row } from "./sample_preparation";

/** A batch and the cursor just after it. */
export interface BatchedAt {
  readonly batch: Batch;
  readonly cursor: LoaderCursor;
}

const TOLERATED_SKIPS = 100;
const TOLERATED_SKIP_SHARE = 0.05;

function dataError(message: string, details: Record<string, unknown>): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_DATA", message, details);
}

function stackImages(rows: readonly Row[], imageSize: number): Uint8Array {
  const imageBytes = imageSize * imageSize * 3;
  const images = sharedArray("u8", rows.length * imageBytes); // shared: programs read it in place
  rows.forEach(({ pixels, sample }, b) => {
    const isBytes = types.isUint8Array(pixels) || types.isUint8ClampedArray(pixels);
    if (!isBytes || pixels.length !== imageBytes) {
      const expected = `a Uint8Array of ${imageBytes}`;
      const message = `the transform of ${sample.key} must return ${expected}, found ${describeValue(pixels)}`;
      throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message, { key: sample.key });
    }
    images.set(pixels, b * imageBytes);
  });
  return images;
}

function packRows(rows: readonly Row[], bucket: number | undefined): PackedText {
  const tokens = rows.flatMap((row) => (row.tokens === undefined ? [] : [row.tokens]));
  if (tokens.length === rows.length) return packText(tokens, bucket ?? usualBucket(tokens));
  return {
    tokens: new Int32Array(0),
    cuSeqlens: new Int32Array(rows.length + 1),
    textEnds: new Int32Array(rows.length),
  };
}

/** Counts and reports skips; throws when there are too many. */
class SkipCounter {
  private readonly counts: Record<string, number>;

  constructor(
    counts: LoaderCursor["skips"],
    private readonly options: LoaderOptions,
  ) {
    this.counts = { ...counts };
  }

  get total(): LoaderCursor["skips"] {
    return { ...this.counts };
  }

  async add(skip: Skip, samplesRead: number): Promise<void> {
    const { reason } = skip;
    this.counts[reason] = (Object.hasOwn(this.counts, reason) ? this.counts[reason]! : 0) + 1;
    await this.options.onSkip?.(skip);
    const skipped = Object.values(this.counts).reduce((sum, count) => sum + count, 0);
    const most = this.options.maxSkips ?? TOLERATED_SKIPS + TOLERATED_SKIP_SHARE * samplesRead;
    if (skipped <= most) return;
    const reasons = Object.entries(this.counts).map(([reason, count]) => `${count} ${reason}`);
    const counts = `${skipped} of ${samplesRead} (${reasons.join(", ")}), limit ${Math.floor(most)}`;
    const message = `too many skipped samples: ${counts}; the last: ${skip.message}`;
    throw dataError(message, { skips: this.total, samplesRead });
  }
}

/** Assembles batches in order, each with the cursor just after it; returns the cursor after the last epoch. */
export async function* assembleBatches(
  prepared: AsyncIterable<Prepared>,
  start: LoaderCursor,
  options: LoaderOptions,
): AsyncGenerator<BatchedAt, LoaderCursor | undefined> {
  const { batchSize, imageSize, textBucket, dropLast = true } = options;
  const skips = new SkipCounter(start.skips, options);
  let { samplesRead } = start;
  let rows: Row[] = [];
  let batchesOfEpoch = 0;
  let end: LoaderCursor | undefined;
  const cursorAt = (epoch: number, position: Json): LoaderCursor => {
    return { ...start, epoch, position, samplesRead, skips: skips.total };
  };
  const finish = (epoch: number, position: Json): BatchedAt => {
    const samples = rows.map((row) => row.sample);
    const images = stackImages(rows, imageSize);
    const batch: Batch = { size: rows.length, images, samples, ...packRows(rows, textBucket) };
    rows = [];
    batchesOfEpoch++;
    return { batch, cursor: cursorAt(epoch, position) };
  };
  for await (const item of prepared) {
    if (item.kind === "epochEnd") {
      if (!dropLast && rows.length > 0) yield finish(item.epoch + 1, null);
      if (item.fromStart && batchesOfEpoch === 0) {
        const message = `epoch ${item.epoch} has ${rows.length} usable samples, too few for a batch of ${batchSize}`;
        throw dataError(message, { usable: rows.length, batchSize, skips: skips.total });
      }
      rows = [];
      batchesOfEpoch = 0;
      end = cursorAt(item.epoch + 1, null);
      continue;
    }
    end = undefined;
    samplesRead++;
    if (item.kind === "skipped") await skips.add(item.skip, samplesRead);
    else rows.push(item.row);
    if (rows.length === batchSize) yield finish(item.epoch, item.next);
  }
  return end;
}
