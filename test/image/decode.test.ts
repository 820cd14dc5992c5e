import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import sharp from "sharp";
import { type CropPlanner, centerCrop, randomResizedCrop } from "../../lib/image/crop";
import { decodeImage, type ImageInput } from "../../lib/image/decode";
import { preprocess } from "../../lib/image/prepare";
import { CounterRandom } from "../../lib/random";
import { openSafetensors } from "../../lib/io/safetensors";

const fixture = (name: string) => join(__dirname, "../fixtures", name);

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "image-"));
});
afterAll(() => rm(directory, { recursive: true }));

/** A colorful picture with fine structure, so that a wrong crop or channel order shows. */
function picture(width: number, height: number) {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [x, y, c] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width), i % 3];
    return 127 + 100 * Math.sin(0.13 * x + c) * Math.cos(0.17 * y - 2 * c);
  });
  return { data, width, height, channels: 3 as const };
}

function mostDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

describe("preprocess", () => {
  test.each(["rgb_wide", "rgb_tall", "gray", "upscale"])(
    "matches the published transform on %s",
    async (name) => {
      await using expected = await openSafetensors(fixture("preprocess_64.safetensors"));
      const pixels = await preprocess(fixture(`image_${name}.png`), 64);
      const reference = (await expected.read(name)) as Float32Array;
      expect(mostDifference(pixels, reference)).toBeLessThan(1e-6);
    },
  );
});

describe("decodeImage", () => {
  test("gives the same pixels for every kind of input", async () => {
    const path = fixture("image_rgb_wide.png");
    const bytes = await readFile(path);
    const { data, info } = await sharp(path).raw().toBuffer({ resolveWithObject: true });
    const inputs: ImageInput[] = [
      pathToFileURL(path),
      bytes,
      new Uint8Array(bytes),
      new Uint8Array(bytes).buffer,
      new Blob([new Uint8Array(bytes)]),
      { data, width: info.width, height: info.height, channels: 3 },
      sharp(path),
    ];
    const expected = await decodeImage(path, 48);
    expect(expected.length).toBe(48 * 48 * 3);
    for (const input of inputs) expect(Buffer.compare(await decodeImage(input, 48), expected)).toBe(0);
  });

  test("a sharp pipeline is decoded as it is, and stays usable", async () => {
    const pipeline = sharp(fixture("image_rgb_wide.png")).rotate(90);
    const turned = await decodeImage(pipeline, 40);
    const { data, info } = await pipeline.clone().raw().toBuffer({ resolveWithObject: true });
    const expected = await decodeImage({ data, width: info.width, height: info.height, channels: 3 }, 40);
    expect(Buffer.compare(turned, expected)).toBe(0);
  });

  test("ignores EXIF rotation, as the published transform does", async () => {
    const image = sharp(picture(60, 40).data, { raw: { width: 60, height: 40, channels: 3 } });
    const plain = await image.clone().jpeg().toBuffer();
    const tagged = await image.clone().withMetadata({ orientation: 6 }).jpeg().toBuffer();
    expect(Buffer.compare(await decodeImage(tagged, 32), await decodeImage(plain, 32))).toBe(0);
  });

  test("drops transparency without blending", async () => {
    const data = Uint8Array.from(
      { length: 32 * 32 * 4 },
      (_, i) => [200, 100, 50, i % 8 < 4 ? 128 : 255][i % 4]!,
    );
    const pixels = await decodeImage({ data, width: 32, height: 32, channels: 4 }, 32);
    expect(Array.from(pixels.subarray(0, 3))).toEqual([200, 100, 50]);
    expect(pixels.length).toBe(32 * 32 * 3);
  });

  test("makes three equal channels of gray and of gray with alpha", async () => {
    for (const channels of [1, 2] as const) {
      const data = new Uint8Array(20 * 20 * channels).fill(255);
      for (let i = 0; i < 400; i++) data[i * channels] = 90;
      const pixels = await decodeImage({ data, width: 20, height: 20, channels }, 20);
      expect(Array.from(pixels)).toEqual(new Array(20 * 20 * 3).fill(90));
    }
  });

  test("converts CMYK as Pillow does", async () => {
    const { data } = picture(16, 16);
    const file = await sharp(data, { raw: { width: 16, height: 16, channels: 3 } })
      .toColourspace("cmyk")
      .jpeg({ quality: 100 })
      .toBuffer();
    const inks = await sharp(file).pipelineColourspace("cmyk").toColourspace("cmyk").raw().toBuffer();
    expect(inks.length).toBe(16 * 16 * 4);
    const pixels = await decodeImage(file, 16);
    expect(pixels.length).toBe(16 * 16 * 3);
    const [cyan, , , black] = inks;
    expect(Math.abs(pixels[0]! - ((255 - cyan!) * (255 - black!)) / 255)).toBeLessThan(1);
  });

  test.each(["jpeg", "png", "webp"] as const)("refuses a %s cut short, with its path", async (format) => {
    const { data, ...raw } = picture(200, 150);
    const file = await sharp(data, { raw }).toFormat(format).toBuffer();
    const path = join(directory, `cut.${format}`);
    await writeFile(path, file.subarray(0, Math.floor(file.length * 0.6)));
    await expect(decodeImage(path, 64)).rejects.toMatchObject({
      code: "ERR_EVACLIP_DATA",
      reason: "undecodable_image",
      message: expect.stringContaining(path),
    });
  });

  test("names what cannot be an image", async () => {
    const path = join(directory, "text.jpg");
    await writeFile(path, "not an image");
    await expect(decodeImage(path, 8)).rejects.toMatchObject({ reason: "undecodable_image" });
    await expect(decodeImage(join(directory, "none.jpg"), 8)).rejects.toMatchObject({
      reason: "missing_file",
    });
    await expect(decodeImage(directory, 8)).rejects.toMatchObject({ reason: "unreadable_file" });
    await expect(decodeImage(new Uint8Array(0), 8)).rejects.toMatchObject({ reason: "undecodable_image" });
    const short = { data: new Uint8Array(5), width: 2, height: 2, channels: 3 as const };
    await expect(decodeImage(short, 8)).rejects.toThrow(/need 12 bytes, found 5/);
    await expect(decodeImage(7 as unknown as string, 8)).rejects.toMatchObject({
      code: "ERR_EVACLIP_INVALID_ARGUMENT",
    });
    await expect(decodeImage(path, 0)).rejects.toThrow(/decodeImage: size must be at least 1, found 0/);
  });
});

describe("randomResizedCrop", () => {
  test("is a function of its key, and stays inside the published bounds", () => {
    for (let index = 0; index < 500; index++) {
      const plan = randomResizedCrop(new CounterRandom(1, 2, index))(300, 200, 64);
      expect(plan).toEqual(randomResizedCrop(new CounterRandom(1, 2, index))(300, 200, 64));
      const { left, top, width, height } = plan.before;
      expect(left).toBeGreaterThanOrEqual(0);
      expect(left + width).toBeLessThanOrEqual(300);
      expect(top + height).toBeLessThanOrEqual(200);
      expect(width / height).toBeGreaterThan(0.74);
      expect(width / height).toBeLessThan(1.35);
    }
  });

  test("takes 90 to 100 % of a square's area, at different places", () => {
    const lefts = new Set<number>();
    for (let index = 0; index < 200; index++) {
      const { before } = randomResizedCrop(new CounterRandom(9, 0, index))(400, 400, 64);
      expect((before.width * before.height) / 400 ** 2).toBeGreaterThan(0.89);
      lefts.add(before.left);
    }
    expect(lefts.size).toBeGreaterThan(5);
  });

  test("falls back to the center of an image that no crop fits", () => {
    const plan = randomResizedCrop(new CounterRandom(1))(1000, 10, 64);
    expect(plan.before).toEqual({ left: 493, top: 0, width: 13, height: 10 });
  });

  test("checks its arguments", () => {
    const random = new CounterRandom(1);
    const refused = expect.objectContaining({ code: "ERR_EVACLIP_INVALID_ARGUMENT" });
    const calls = [
      () => randomResizedCrop(5 as never),
      () => randomResizedCrop(random, { scales: [0, 1] } as never),
      () => randomResizedCrop(random, { scale: [0.5] } as never),
      () => randomResizedCrop(random, { scale: [0.9, 0.5] }),
      () => randomResizedCrop(random, { scale: [0.5, 2] }),
      () => randomResizedCrop(random, { ratio: [0, 1] }),
      () => randomResizedCrop(random, { ratio: [Number.NaN, 1] }),
      () => centerCrop(0, 5, 5),
      () => centerCrop(5, 5, "5" as never),
    ];
    for (const call of calls) expect(call).toThrow(refused);
  });

  test("fills the square from its crop alone", async () => {
    const image = picture(120, 80);
    const planner = randomResizedCrop(new CounterRandom(3, 1, 4));
    const { before } = randomResizedCrop(new CounterRandom(3, 1, 4))(120, 80, 32);
    const { data, width, height } = image;
    const cut = await sharp(data, { raw: { width, height, channels: 3 } })
      .extract(before)
      .raw()
      .toBuffer();
    const alone = { data: cut, width: before.width, height: before.height, channels: 3 as const };
    const square: CropPlanner = (w, h, size) => ({
      ...{ before: { left: 0, top: 0, width: w, height: h }, width: size, height: size },
      after: { left: 0, top: 0, width: size, height: size },
    });
    const expected = await decodeImage(alone, 32, square);
    expect(Buffer.compare(await decodeImage(image, 32, planner), expected)).toBe(0);
  });
});
