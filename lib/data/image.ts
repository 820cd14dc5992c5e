import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { types } from "node:util";
import sharp, { type Sharp, type SharpOptions } from "sharp";
import { EvaClipError } from "../errors";
import { clipPixels, type PixelStatistics } from "../ops/patch_embed";
import { type CropPlan, type CropPlanner, centreCrop } from "./crop";
import { enlarge, type Interpolation } from "./enlarge";
import { SampleError } from "./sample_error";

/** Decoded pixels [height, width, channels], 1 grey, 2 grey and alpha, 3 RGB or 4 RGBA. */
export interface RawImage {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 2 | 3 | 4;
}

/** A path, a file: URL, the bytes of an image file, decoded pixels, or a sharp pipeline. */
export type ImageInput = string | URL | Uint8Array | ArrayBuffer | Blob | RawImage | Sharp;

// As Pillow reads images: no colour management, no EXIF rotation; a damaged file is an error, not a grey area.
const DECODE_OPTIONS: SharpOptions = { failOn: "error", ignoreIcc: true };

interface Source {
  readonly open: () => Sharp;
  readonly name: string;
}

function isSharp(input: object): input is Sharp {
  return "clone" in input && "toBuffer" in input && "metadata" in input;
}

function isRawImage(input: object): input is RawImage {
  return "data" in input && "width" in input && "height" in input && "channels" in input;
}

function rawSource({ data, width, height, channels }: RawImage): Source {
  const name = `pixels [${height}, ${width}, ${channels}]`;
  if (data.length !== width * height * channels) {
    throw new SampleError(
      "undecodable_image",
      `${name} need ${width * height * channels} bytes, found ${data.length}`,
    );
  }
  return { name, open: () => sharp(data, { raw: { width, height, channels } }) };
}

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === "ENOENT" ? "missing_file" : "unreadable_file";
    throw new SampleError(reason, `cannot read the image ${path}: ${message}`, { path }, error);
  }
}

async function sourceOf(input: ImageInput): Promise<Source> {
  if (typeof input === "string" || input instanceof URL) {
    const path = typeof input === "string" ? input : fileURLToPath(input);
    const bytes = await readBytes(path);
    return { name: path, open: () => sharp(bytes, DECODE_OPTIONS) };
  }
  if (input instanceof Blob) {
    const bytes = await input.arrayBuffer();
    return { name: `a Blob of ${bytes.byteLength} bytes`, open: () => sharp(bytes, DECODE_OPTIONS) };
  }
  if (types.isUint8Array(input) || types.isArrayBuffer(input)) {
    return { name: `${input.byteLength} bytes`, open: () => sharp(input, DECODE_OPTIONS) };
  }
  if (typeof input === "object" && input !== null && isSharp(input)) {
    const { data, info } = await input
      .clone()
      .toColourspace("srgb")
      .raw()
      .toBuffer({ resolveWithObject: true });
    return rawSource({ data, width: info.width, height: info.height, channels: info.channels as 3 });
  }
  if (typeof input === "object" && input !== null && isRawImage(input)) return rawSource(input);
  const expected = "a path, file: URL, bytes, Blob, { data, width, height, channels } or sharp pipeline";
  throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `an image is ${expected}, found ${typeof input}`);
}

/** libvips's names. */
const KERNELS = { bicubic: "cubic", bilinear: "linear" } as const;

/**
 * Carries out a plan. libvips reduces the axes that shrink; those that grow are enlarged here, because its enlargement
 * is not Pillow's.
 */
async function resample(image: Sharp, plan: CropPlan, interpolation: Interpolation): Promise<Uint8Array> {
  const { before, after } = plan;
  const width = Math.min(plan.width, before.width);
  const height = Math.min(plan.height, before.height);
  const reduced = image
    .extract(before)
    .resize(width, height, { fit: "fill", kernel: KERNELS[interpolation], fastShrinkOnLoad: false })
    .raw();
  if (width === plan.width && height === plan.height) return reduced.extract(after).toBuffer();
  const { data, info } = await reduced.toBuffer({ resolveWithObject: true });
  const x = { from: width, to: plan.width, offset: after.left, count: after.width };
  const y = { from: height, to: plan.height, offset: after.top, count: after.height };
  return enlarge(data, info.channels, x, y, interpolation);
}

/** CMYK to RGB as Pillow does it, without colour profiles: (255 - ink) (255 - black) / 255. */
function rgbFromCmyk(cmyk: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((cmyk.length / 4) * 3);
  for (let pixel = 0; pixel < cmyk.length / 4; pixel++) {
    const light = 255 - cmyk[4 * pixel + 3]!;
    for (let c = 0; c < 3; c++) rgb[3 * pixel + c] = Math.round(((255 - cmyk[4 * pixel + c]!) * light) / 255);
  }
  return rgb;
}

/**
 * Decodes an image to RGB [size, size, 3], by default with the evaluation transform. The resize is bicubic with
 * antialiasing and agrees with Pillow's to a fraction of a grey level; like Pillow, it does not apply EXIF rotation or
 * colour profiles, and drops transparency without blending.
 *
 * @throws SampleError ERR_EVACLIP_DATA when the image is missing, cut short or not an image; the message names it
 */
export async function decodeImage(
  input: ImageInput,
  size: number,
  planner: CropPlanner = centreCrop,
  interpolation: Interpolation = "bicubic",
): Promise<Uint8Array> {
  if (!Number.isInteger(size) || size < 1) {
    const message = `the image size must be a positive integer, found ${size}`;
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message, { size });
  }
  const source = await sourceOf(input);
  try {
    const { width, height, space } = await source.open().metadata();
    const plan = planner(width, height, size);
    const image = source.open();
    if (space === "cmyk") {
      return rgbFromCmyk(
        await resample(image.pipelineColourspace("cmyk").toColourspace("cmyk"), plan, interpolation),
      );
    }
    return await resample(image.toColourspace("srgb").removeAlpha(), plan, interpolation);
  } catch (error) {
    const message = `cannot decode the image ${source.name}: ${(error as Error).message.trim()}`;
    throw new SampleError("undecodable_image", message, { image: source.name }, error);
  }
}

/** RGB [size, size, 3] as the towers take it ready-made: [3, size, size], normalised by mean and standard deviation. */
export function normalizePixels(
  pixels: Uint8Array,
  { mean, std }: PixelStatistics = clipPixels,
): Float32Array {
  const plane = pixels.length / 3;
  const normalized = new Float32Array(pixels.length);
  for (let c = 0; c < 3; c++) {
    const scale = 1 / (255 * std[c]!);
    const shift = mean[c]! / std[c]!;
    for (let i = 0; i < plane; i++) normalized[c * plane + i] = pixels[3 * i + c]! * scale - shift;
  }
  return normalized;
}
