import sharp from "sharp";
import type { EvaClip } from "../../lib/index";
import { CounterRandom } from "../../lib/random";

/** What clients send, and what they must get. */
export interface Workload {
  model: string;
  images: Buffer[];
  texts: string[];
  /** Embeddings that the model gives directly, in the order of `images` and `texts`. */
  golden: { images: Float32Array[]; texts: Float32Array[] };
  /** Requests in their order; clients repeat them. */
  requests: Planned[];
}

/** The shapes of requests, with their shares. */
export const FORMS = ["raw", "text", "json", "multipart", "raw", "mixed", "text", "texts"] as const;
export type Form = (typeof FORMS)[number];

/** Samples of a request, by their places in the workload. */
export interface Planned {
  form: Form;
  samples: { kind: "image" | "text"; index: number }[];
}

/** Width and height of the images: thumbnails to photographs. */
const SIZES = [
  [200, 150],
  [224, 224],
  [320, 240],
  [480, 640],
  [640, 480],
  [800, 600],
  [1024, 768],
  [1600, 1200],
] as const;

const WORDS =
  "a photo of the red green small old wooden boat house dog bicycle on in under snow water street".split(" ");

/** A smooth image with a little grain, which compresses like a photograph. */
async function photo(number: number): Promise<Buffer> {
  const random = new CounterRandom(3, number);
  const [width, height] = SIZES[number % SIZES.length]!;
  const coarse = Buffer.from(Uint8Array.from({ length: 12 * 9 * 3 }, () => random.below(256)));
  const raw = { width: 12, height: 9, channels: 3 as const };
  const noise = { type: "gaussian" as const, mean: 128, sigma: 12 };
  const grain = await sharp({ create: { width, height, channels: 3, background: "#808080", noise } })
    .png()
    .toBuffer();
  return sharp(coarse, { raw })
    .resize(width, height, { kernel: "cubic", fit: "fill" })
    .composite([{ input: grain, blend: "soft-light" }])
    .jpeg({ quality: 85 })
    .toBuffer();
}

function caption(number: number): string {
  const random = new CounterRandom(5, number);
  return Array.from({ length: 3 + random.below(15) }, () => WORDS[random.below(WORDS.length)]).join(" ");
}

/** How many images and texts a request of each form has. */
const SAMPLES: Record<Form, { images: number; texts: number }> = {
  raw: { images: 1, texts: 0 },
  json: { images: 1, texts: 0 },
  multipart: { images: 2, texts: 0 },
  mixed: { images: 1, texts: 1 },
  text: { images: 0, texts: 1 },
  texts: { images: 0, texts: 6 },
};

/** A workload of `count` requests, and its golden embeddings. */
export async function makeWorkload(model: EvaClip, name: string, count = 48): Promise<Workload> {
  const images: Buffer[] = [];
  const texts: string[] = [];
  const requests: Planned[] = [];
  for (let i = 0; i < count; i++) {
    const form = FORMS[i % FORMS.length]!;
    const samples: Planned["samples"] = [];
    for (let n = 0; n < SAMPLES[form].images; n++) {
      samples.push({ kind: "image", index: images.length });
      images.push(await photo(images.length));
    }
    for (let n = 0; n < SAMPLES[form].texts; n++) {
      samples.push({ kind: "text", index: texts.length });
      texts.push(caption(texts.length));
    }
    requests.push({ form, samples });
  }
  const golden = { images: await model.encodeImage(images), texts: await model.encodeText(texts) };
  return { model: name, images, texts, golden, requests };
}

/** The largest difference of two vectors. */
export function difference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i]!)), 0);
}

/** The least difference of two different samples: an answer that belongs to another sample is at least so far off. */
export function leastDistance({ golden }: Workload): number {
  const distinct = (vectors: Float32Array[]) =>
    vectors.flatMap((a, i) => vectors.slice(0, i).map((b) => difference(a, b)));
  return Math.min(...distinct(golden.images), ...distinct(golden.texts));
}
