// A custom data set: drawings generated on the fly, one of which is damaged and skipped by the loader.
//   node -C eva-clip-source -r ts-node/register/transpile-only examples/custom_dataset.ts
import {
  createLoader,
  type Dataset,
  type EpochRequest,
  permute,
  type Sample,
  SampleError,
  type SkipCounts,
} from "eva-clip/data";
import sharp from "sharp";

const COLORS = ["red", "green", "blue", "yellow", "purple", "orange", "black", "white"];
const DAMAGED = 5;

/** Squares of plain colors. The order of an epoch is a function of the request alone, so a run on it resumes exactly. */
class Squares implements Dataset {
  readonly size = COLORS.length;
  readonly classes = COLORS;

  async *open({ seed, epoch, shuffle, position = 0 }: EpochRequest): AsyncGenerator<Sample> {
    for (let index = position as number; index < this.size; index++) {
      const label = shuffle ? permute(index, this.size, seed, epoch) : index;
      yield { key: COLORS[label]!, epoch, index, label, next: index + 1, read: () => this.#read(label) };
    }
  }

  async #read(label: number) {
    if (label === DAMAGED) throw new SampleError("undecodable_image", `${COLORS[label]} is damaged`);
    const square = { width: 48, height: 32, channels: 3 as const, background: COLORS[label]! };
    const image = await sharp({ create: square }).png().toBuffer();
    return { image, captions: [`a ${COLORS[label]} square`] };
  }
}

/** Reads the data set once. → the keys of the samples used, in order, and what was skipped */
export async function readSquares(): Promise<{ keys: string[]; skips: SkipCounts }> {
  await using loader = createLoader(new Squares(), {
    batchSize: 4,
    imageSize: 32,
    epochs: 1,
    dropLast: false,
    onSkip: ({ key, message }) => process.stderr.write(`skipped ${key}: ${message}\n`),
  });
  const keys: string[] = [];
  for await (const batch of loader) keys.push(...batch.samples.map(({ key }) => key));
  return { keys, skips: loader.skips };
}

if (require.main === module) {
  void readSquares().then(({ keys, skips }) => console.log(keys.join(", "), skips));
}
