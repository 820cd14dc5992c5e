import { createHash } from "node:crypto";
import type { Box, CropPlan } from "../../lib/image/crop";
import { type Interpolation, resample } from "../../lib/image/resample";
import { native } from "../../lib/native";
import cases from "../fixtures/resize/resized.json";

const CHANNELS = 3;

interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** The pictures of test/fixtures/resize/make.py. */
function picture(width: number, height: number): Picture {
  const data = new Uint8Array(width * height * CHANNELS);
  for (let i = 0; i < data.length; i++) {
    const value = Math.imul(i + 1, 2_654_435_769) >>> 24;
    data[i] = i % 3 === 0 ? (value > 127 ? 255 : 0) : value;
  }
  return { width, height, data };
}

function cut({ width, data }: Picture, box: Box): Uint8Array {
  const part = new Uint8Array(box.width * box.height * CHANNELS);
  for (let y = 0; y < box.height; y++) {
    const from = ((box.top + y) * width + box.left) * CHANNELS;
    part.set(data.subarray(from, from + box.width * CHANNELS), y * box.width * CHANNELS);
  }
  return part;
}

interface Case {
  image: number[];
  target: number[];
  filter: string;
  box: number[];
  window: number[];
  sha256: string;
}

/** The window of a resized image, of which parts are decoded. */
async function resized(given: Case): Promise<Uint8Array> {
  const [width, height] = given.image as [number, number];
  const image = picture(width, height);
  const [left, top, right, bottom] = given.window as [number, number, number, number];
  const plan = {
    before: { left: 0, top: 0, width, height },
    ...{ width: given.target[0]!, height: given.target[1]! },
    after: { left, top, width: right - left, height: bottom - top },
  };
  return resample({ decode: async (box) => cut(image, box) }, plan, given.filter as Interpolation);
}

/** The image resized from a box, whose sides may lie within pixels, in parts of `partRows` rows. */
async function resizedBox(given: Case, partRows: number): Promise<Uint8Array> {
  const axis = (i: 0 | 1) => ({
    length: given.image[i]!,
    ...{ begin: given.box[i]!, end: given.box[i + 2]! },
    ...{ target: given.target[i]!, offset: 0, count: given.target[i]! },
  });
  const [x, y] = [axis(0), axis(1)];
  const into = new Uint8Array(x.count * y.count * CHANNELS);
  const resampler = new (native().Resampler)({ x, y, filter: given.filter as Interpolation, into });
  const image = picture(x.length, y.length);
  const [left, right] = resampler.columns;
  const [top, bottom] = resampler.rows;
  for (let row = top; row < bottom; row += partRows) {
    const height = Math.min(partRows, bottom - row);
    await resampler.add(cut(image, { left, top: row, width: right - left, height }));
  }
  return into;
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

const isWhole = ({ box, image }: Case) => box.join() === [0, 0, ...image].join();

describe.each(["bicubic", "bilinear", "lanczos", "hamming", "box"])(
  "the bytes are Pillow's: %s",
  (filter) => {
    const ofFilter = cases.filter((each) => each.filter === filter);
    const name = ({ image, target, box, window }: Case) => `${image} to ${target}, ${box}, ${window}`;

    test("of whole images", async () => {
      const wrong: string[] = [];
      for (const each of ofFilter.filter(isWhole))
        if (sha256(await resized(each)) !== each.sha256) wrong.push(name(each));
      expect(wrong).toEqual([]);
    });

    test.each([1, 7, 100])("of boxes, in parts of %d rows", async (partRows) => {
      const wrong: string[] = [];
      for (const each of ofFilter.filter((one) => !isWhole(one)))
        if (sha256(await resizedBox(each, partRows)) !== each.sha256) wrong.push(name(each));
      expect(wrong).toEqual([]);
    });
  },
);

describe("resample", () => {
  const image = picture(90, 60);
  const whole = { left: 0, top: 0, width: 90, height: 60 };
  const planned = (plan: Partial<CropPlan>) => ({
    ...{ before: whole, width: 30, height: 20, after: { left: 0, top: 0, width: 30, height: 20 } },
    ...plan,
  });
  const executed = async (plan: CropPlan) => {
    const decoded: Box[] = [];
    const decode = async (box: Box) => {
      decoded.push(box);
      return cut(image, box);
    };
    return { pixels: await resample({ decode }, plan, "bicubic"), decoded };
  };

  test("decodes only what the window depends on", async () => {
    const { pixels, decoded } = await executed(planned({ after: { left: 10, top: 5, width: 8, height: 4 } }));
    // A filter reaches six pixels to both sides of its output's center.
    expect(decoded).toEqual([{ left: 26, top: 11, width: 33, height: 21 }]);
    const { pixels: all } = await executed(planned({}));
    const rows = [5, 6, 7, 8].map((y) => all.subarray((y * 30 + 10) * 3, (y * 30 + 18) * 3));
    expect(Buffer.compare(pixels, Buffer.concat(rows))).toBe(0);
  });

  test("does not see the pixels around a crop", async () => {
    const before = { left: 13, top: 7, width: 40, height: 30 };
    const { pixels } = await executed(planned({ before }));
    const crop = { ...before, data: cut(image, before) };
    const plan = planned({ before: { ...before, left: 0, top: 0 } });
    const alone = await resample({ decode: async (box) => cut(crop, box) }, plan, "bicubic");
    expect(Buffer.compare(pixels, alone)).toBe(0);
  });
});

describe("what does not fit is refused", () => {
  const axis = { length: 4, begin: 0, end: 4, target: 2, offset: 0, count: 2 };
  const resize = { x: axis, y: axis, filter: "bicubic" as const, into: new Uint8Array(12) };
  const refused = expect.objectContaining({ code: "ERR_EVACLIP_INVALID_ARGUMENT" });

  test.each([
    { into: new Uint8Array(11) },
    { filter: "nearest" },
    { x: { ...axis, count: 3 } },
    { x: { ...axis, end: 5 } },
    { y: { ...axis, begin: Number.NaN } },
    { y: { ...axis, length: 0 } },
    { y: undefined },
  ])("%j", (wrong) => {
    expect(() => new (native().Resampler)({ ...resize, ...wrong } as typeof resize)).toThrow(refused);
  });

  test("parts", async () => {
    const resampler = new (native().Resampler)(resize);
    await expect(resampler.add(new Uint8Array(13))).rejects.toEqual(refused);
    await expect(resampler.add(new Uint8Array(12 * 5))).rejects.toEqual(refused);
    for (const rows of [1, 3]) await resampler.add(new Uint8Array(12 * rows).fill(7));
    expect(resize.into).toEqual(new Uint8Array(12).fill(7));
    await expect(resampler.add(new Uint8Array(12))).rejects.toEqual(refused);
  });
});
