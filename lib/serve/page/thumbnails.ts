import sharp, { type Sharp } from "sharp";
import { formatOf } from "../../image/formats/image_format";
import { plainFromFile } from "../../image/formats/plain_image";

/** Bytes of thumbnails that are kept: some thousands. */
const MOST_BYTES = 32 * 2 ** 20;
const QUALITY = 82;

/** For people: upright, with its transparency, and a damaged image as far as it goes. */
async function open(file: Uint8Array, name: string, maxPixels: number): Promise<Sharp> {
  const format = formatOf(file, name);
  // libvips has no decoder for these.
  if (format === "bmp" || format === "pnm") {
    const { width, height, decode } = await plainFromFile(file, name);
    const raw = { width, height, channels: 3 as const };
    return sharp(await decode({ left: 0, top: 0, width, height }), { raw });
  }
  return sharp(file, { failOn: "none", limitInputPixels: maxPixels }).autoOrient();
}

/** Small copies of images, of which the most recently used are kept. */
export class Thumbnails {
  readonly #kept = new Map<string, Uint8Array<ArrayBuffer>>();
  #bytes = 0;

  /** @param maxPixels of an image that is decoded */
  constructor(private readonly maxPixels: number) {}

  /**
   * A WebP of at most `size` pixels a side.
   * @param read reads the image file of `name`
   * @throws whatever `read` does; SampleError or an Error of the decoder for what is no image
   */
  async get(name: string, size: number, read: () => Promise<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
    const key = `${size} ${name}`;
    const made = this.#kept.get(key) ?? (await this.#make(name, size, await read()));
    this.#keep(key, made);
    return made;
  }

  async #make(name: string, size: number, file: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    const image = await open(file, name, this.maxPixels);
    const small = image.resize(size, size, { fit: "inside", withoutEnlargement: true });
    return new Uint8Array(await small.webp({ quality: QUALITY }).toBuffer());
  }

  #keep(key: string, thumbnail: Uint8Array<ArrayBuffer>): void {
    if (!this.#kept.delete(key)) this.#bytes += thumbnail.length;
    this.#kept.set(key, thumbnail);
    for (const [oldest, { length }] of this.#kept) {
      if (this.#bytes <= MOST_BYTES) return;
      this.#kept.delete(oldest);
      this.#bytes -= length;
    }
  }
}
