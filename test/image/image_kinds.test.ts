import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { decodeImage } from "../../lib/image/decode";

const SIZE = 16;
const folder = join(__dirname, "../fixtures/images");
const names = readdirSync(folder)
  .filter((name) => name !== "make.py" && name !== "right.png")
  .sort();

/** Mean and greatest difference between two images. */
function differences(a: Uint8Array, b: Uint8Array): { mean: number; most: number } {
  expect(a.length).toBe(b.length);
  const each = Array.from(a, (value, i) => Math.abs(value - b[i]!));
  return { mean: each.reduce((sum, value) => sum + value) / each.length, most: Math.max(...each) };
}

describe("every kind of image is read as Pillow reads it", () => {
  let right: Buffer;
  beforeAll(async () => {
    right = await sharp(join(folder, "right.png")).removeAlpha().raw().toBuffer();
  });

  test.each(names)("%s", async (name) => {
    const bytes = SIZE * SIZE * 3;
    const start = names.indexOf(name) * bytes;
    const expected = right.subarray(start, start + bytes);
    const { mean, most } = differences(await decodeImage(join(folder, name), SIZE), expected);
    // Decoders of AV1 differ in the last digit.
    expect(most).toBeLessThanOrEqual(name.endsWith(".avif") ? 2 : 0);
    expect(mean).toBeLessThan(0.3);
  });

  test.each(["rgba.png", "trns.gif", "small_frame.gif", "565.bmp", "text.ppm", "exif_6.tif", "exif_6.avif"])(
    "%s is the same image as bytes and as a path",
    async (name) => {
      const path = join(folder, name);
      const fromPath = await decodeImage(path, SIZE);
      expect(Buffer.compare(await decodeImage(readFileSync(path), SIZE), fromPath)).toBe(0);
    },
  );
});

test("16-bit gray is scaled to 8 bits, as PNG and as PNM", async () => {
  const values = Uint16Array.from({ length: 64 }, (_, i) => i * 1024 + 7);
  const image = sharp(values, { raw: { width: 8, height: 8, channels: 1 } });
  const png = await image.toColourspace("grey16").png().toBuffer();
  const big = Buffer.from(new Uint8Array(values.buffer)).swap16();
  const pgm = Buffer.concat([Buffer.from("P5 8 8 65535\n"), big]);
  const expected = Array.from(values).flatMap((value) => [value >> 8, value >> 8, value >> 8]);
  expect(Array.from(await decodeImage(png, 8))).toEqual(expected);
  const { most } = differences(await decodeImage(pgm, 8), Uint8Array.from(expected));
  expect(most).toBeLessThanOrEqual(1);
});

test("raw pixels and sharp pipelines lose their alpha before they are resized, as files do", async () => {
  const pixels = (alpha: boolean) => {
    const channels = alpha ? (4 as const) : (3 as const);
    const data = new Uint8Array(40 * 40 * channels);
    for (let i = 0; i < 1600; i++) {
      data.set([i % 256, (7 * i) % 256, 255 - (i % 256)], i * channels);
      if (alpha) data[i * 4 + 3] = i % 3 === 0 ? 0 : 90;
    }
    return { data, width: 40, height: 40, channels };
  };
  const expected = await decodeImage(pixels(false), SIZE);
  const { data, ...raw } = pixels(true);
  expect(Buffer.compare(await decodeImage(pixels(true), SIZE), expected)).toBe(0);
  expect(Buffer.compare(await decodeImage(sharp(data, { raw }), SIZE), expected)).toBe(0);
  const png = await sharp(data, { raw }).png().toBuffer();
  expect(Buffer.compare(await decodeImage(png, SIZE), expected)).toBe(0);
});

describe("an orientation that means nothing is ignored", () => {
  const source = sharp({ create: { width: 12, height: 6, channels: 3, background: "#345" } }).composite([
    { input: Buffer.from([255, 0, 0]), raw: { width: 1, height: 1, channels: 3 }, left: 0, top: 0 },
  ]);
  const kinds: [string, () => Promise<Buffer>, number][] = [
    ["TIFF", () => source.clone().withMetadata({ orientation: 6 }).tiff().toBuffer(), 8],
    ["BigTIFF", () => source.clone().withMetadata({ orientation: 6 }).tiff({ bigtiff: true }).toBuffer(), 12],
    ["big-endian TIFF", async () => bigEndianTiff(), 8],
  ];

  test.each(kinds)("of a %s", async (_, make, valueAt) => {
    const tiff = await make();
    const isBig = tiff[0] === "M".charCodeAt(0);
    const at = tiff.indexOf(Buffer.from(isBig ? "01120003" : "12010300", "hex")) + valueAt;
    const decoded = (orientation: number) => {
      const file = Buffer.from(tiff);
      if (isBig) file.writeUInt16BE(orientation, at);
      else file.writeUInt16LE(orientation, at);
      return decodeImage(file, 6);
    };
    const upright = await decoded(1);
    expect(Buffer.compare(await decoded(3), upright)).not.toBe(0);
    for (const unknown of [0, 9, 65_535]) {
      expect(Buffer.compare(await decoded(unknown), upright)).toBe(0);
    }
  });
});

/** Gray, 8 × 8, each pixel another. */
function bigEndianTiff(): Buffer {
  const entries: [tag: number, value: number][] = [
    ...([
      [256, 8],
      [257, 8],
      [258, 8],
      [259, 1],
      [262, 1],
      [273, 200],
      [274, 6],
    ] as [number, number][]),
    ...([
      [277, 1],
      [278, 8],
      [279, 64],
    ] as [number, number][]),
  ];
  const file = Buffer.alloc(264);
  file.write("MM\0*\0\0\0\x08", "latin1");
  file.writeUInt16BE(entries.length, 8);
  entries.forEach(([tag, value], i) => {
    file.writeUInt16BE(tag, 10 + 12 * i);
    file.writeUInt16BE(3, 12 + 12 * i);
    file.writeUInt32BE(1, 14 + 12 * i);
    file.writeUInt16BE(value, 18 + 12 * i);
  });
  for (let i = 0; i < 64; i++) file[200 + i] = 4 * i;
  return file;
}

describe("a damaged file is refused", () => {
  const whole = [
    "plain.gif",
    "rgb.bmp",
    "palette.bmp",
    "rgb.ppm",
    "text.ppm",
    "bits.pbm",
    "exif_6.tif",
    "exif_6.avif",
  ];

  test.each(whole)("%s cut short at any place", async (name) => {
    const bytes = readFileSync(join(folder, name));
    for (const share of [0.02, 0.1, 0.3, 0.5, 0.7]) {
      const cut = bytes.subarray(0, Math.floor(bytes.length * share));
      await expect(decodeImage(cut, SIZE)).rejects.toMatchObject({
        code: "ERR_EVACLIP_DATA",
        reason: "undecodable_image",
      });
    }
  });

  test("sizes that no image has are refused before anything is allocated", async () => {
    const bmp = Buffer.from(readFileSync(join(folder, "rgb.bmp")));
    bmp.writeInt32LE(100_000, 18);
    bmp.writeInt32LE(100_000, 22);
    const gif = Buffer.from(readFileSync(join(folder, "plain.gif")));
    gif.writeUInt32LE(0xffffffff, 6);
    const files = [bmp, gif, Buffer.from("P6 100000 100000 255\n"), Buffer.from("P1 16000 16000 1")];
    for (const file of files)
      await expect(decodeImage(file, SIZE)).rejects.toMatchObject({ reason: "undecodable_image" });
    await expect(decodeImage(Buffer.from("P5 8 8 70000\n"), SIZE)).rejects.toThrow(
      /from 1 to 65535, found 70000/,
    );
  });

  test("a progressive JPEG whose scans would take minutes", async () => {
    const jpeg = await sharp({ create: { width: 9000, height: 9000, channels: 3, background: "#345" } })
      .jpeg({ progressive: true, quality: 30 })
      .toBuffer();
    const last = jpeg.lastIndexOf(Buffer.from([0xff, 0xda]));
    const scan = jpeg.subarray(last, -2);
    const many = Buffer.concat([
      jpeg.subarray(0, -2),
      ...new Array<Buffer>(60).fill(scan),
      jpeg.subarray(-2),
    ]);
    await expect(decodeImage(many, SIZE)).rejects.toThrow(/scans of 81000000 pixels are more than/);
  });
});
