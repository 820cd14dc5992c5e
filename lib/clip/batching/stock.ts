// What is prepared for the next run of the device.
import { sharedArray } from "../../host_tensor";
import type { Embeddings } from "../encoder_programs";
import type { ModelEncoder } from "../model_encoder";
import type { Sample } from "./sample";

type AnySample = Sample<unknown>;

/** Samples that left a stock together, and their run, which is given to the device before `run` returns. */
export interface Batch {
  readonly samples: readonly AnySample[];
  run(): Promise<Embeddings>;
}

/** Prepared samples of one kind, oldest first. */
export interface Stock<Prepared> {
  readonly size: number;
  /** Bytes of memory that it keeps. */
  readonly bytes: number;
  add(sample: AnySample, prepared: Prepared): void;
  /** Takes out a sample, if it is there. */
  remove(sample: AnySample): void;
  /** The oldest `count` samples. The one before must have been run. */
  take(count: number): Batch;
}

export class CaptionStock implements Stock<readonly number[]> {
  #samples: { sample: AnySample; ids: readonly number[] }[] = [];

  constructor(private readonly encoder: ModelEncoder) {}

  get size(): number {
    return this.#samples.length;
  }

  readonly bytes = 0;

  add(sample: AnySample, ids: readonly number[]): void {
    this.#samples.push({ sample, ids });
  }

  remove(sample: AnySample): void {
    this.#samples = this.#samples.filter((each) => each.sample !== sample);
  }

  take(count: number): Batch {
    const taken = this.#samples.splice(0, count);
    return {
      samples: taken.map(({ sample }) => sample),
      run: () => this.encoder.programs.text(taken.map(({ ids }) => ids)),
    };
  }
}

/**
 * Decoded images u8 [capacity, S, S, 3] in shared memory, which a program reads in place. Each is written to its row as soon
 * as it is decoded; a second array is filled while the device reads the first.
 */
export class ImageStock implements Stock<Uint8Array> {
  #samples: AnySample[] = [];
  #filling: Uint8Array | undefined;
  #spare: Uint8Array | undefined;
  readonly #rowBytes: number;

  constructor(
    private readonly encoder: ModelEncoder,
    private readonly capacity: number,
  ) {
    this.#rowBytes = 3 * encoder.imageSize ** 2;
  }

  get size(): number {
    return this.#samples.length;
  }

  get bytes(): number {
    return (this.#filling?.length ?? 0) + (this.#spare?.length ?? 0);
  }

  add(sample: AnySample, pixels: Uint8Array): void {
    const allocate = () => sharedArray("u8", this.capacity * this.#rowBytes);
    this.#spare ??= allocate();
    this.#filling ??= allocate();
    this.#filling.set(pixels, this.#samples.length * this.#rowBytes);
    this.#samples.push(sample);
  }

  remove(sample: AnySample): void {
    const row = this.#samples.indexOf(sample);
    if (row < 0) return;
    const last = this.#samples.pop()!;
    if (last === sample) return;
    this.#samples[row] = last;
    const from = this.#samples.length * this.#rowBytes;
    this.#filling!.copyWithin(row * this.#rowBytes, from, from + this.#rowBytes);
  }

  take(count: number): Batch {
    const samples = this.#samples.splice(0, count);
    const pixels = this.#filling!;
    const left = pixels.subarray(count * this.#rowBytes, (count + this.#samples.length) * this.#rowBytes);
    this.#spare!.set(left);
    [this.#filling, this.#spare] = [this.#spare, pixels];
    const rows = pixels.subarray(0, count * this.#rowBytes);
    return { samples, run: () => this.encoder.programs.image(rows, count) };
  }
}
