import type { Sharp } from "sharp";
import { anyFunction, checkArgument, oneOf, positiveInteger, shortened } from "../arguments";
import { EvaClipError } from "../errors";
import { openRegularFile, readError, shownPath } from "../io/regular_file";
import { clipPixels, type PixelStatistics } from "../ops/patch_embed";
import { type CropPlanner, centerCrop } from "./crop";
import { formatOf, HEAD_BYTES } from "./formats/image_format";
import { type HeldImage, holdImage, type ImageInput, type RawImage } from "./image_input";
import { LARGEST_IMAGE_SIZE } from "./image_size";
import { type PlainImage, plainFromFile, plainFromPixels } from "./formats/plain_image";
import { INTERPOLATIONS, type Interpolation, resample } from "./resample";
import { SampleError } from "../sample_error";

export type { ImageInput, RawImage } from "./image_input";

/** Longest part of a decoder's message that an error repeats. */
const MOST_LETTERS = 200;

async function readImageFile(path: string): Promise<Uint8Array> {
  const name = shownPath(path);
  try {
    await using file = await openRegularFile(path);
    // A file that is not an image is not read completely.
    const head = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    formatOf(head.buffer.subarray(0, head.bytesRead), name);
    return await file.readFile();
  } catch (error) {
    if (error instanceof SampleError) throw error;
    const failure = readError(path, error);
    if (failure.code !== "ERR_EVACLIP_DATA") throw failure;
    const reason = failure.details?.cause === "ENOENT" ? "missing_file" : "unreadable_file";
    throw new SampleError(reason, failure.message, { path }, error);
  }
}

async function pixelsOf(pipeline: Sharp): Promise<RawImage> {
  const { data, info } = await pipeline
    .toColourspace("srgb")
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: info.channels as 3 };
}

/** The name of an image in error messages. */
function nameOf(image: HeldImage): string {
  switch (image.kind) {
    case "path":
      return shownPath(image.path);
    case "bytes":
      return image.name;
    case "blob":
      return `a Blob of ${image.blob.size} bytes`;
    case "pixels":
      return `pixels [${image.image.height}, ${image.image.width}, ${image.image.channels}]`;
    case "pipeline":
      return "a sharp pipeline";
  }
}

async function plainImageOf(image: HeldImage, name: string): Promise<PlainImage> {
  switch (image.kind) {
    case "path":
      return plainFromFile(await readImageFile(image.path), name);
    case "bytes":
      return plainFromFile(image.bytes, name);
    case "blob":
      return plainFromFile(new Uint8Array(await image.blob.arrayBuffer()), name);
    case "pixels":
      return plainFromPixels(image.image);
    case "pipeline":
      return plainFromPixels(await pixelsOf(image.pipeline));
  }
}

/** `decodeImage` of an image that `holdImage` has checked. */
export async function decodeHeldImage(
  image: HeldImage,
  size: number,
  planner: CropPlanner = centerCrop,
  interpolation: Interpolation = "bicubic",
): Promise<Uint8Array> {
  const name = nameOf(image);
  try {
    const plain = await plainImageOf(image, name);
    const plan = planner(plain.width, plain.height, size);
    return await resample(plain, plan, interpolation);
  } catch (error) {
    if (error instanceof EvaClipError) throw error;
    const [problem = ""] = (error as Error).message.trim().split("\n");
    const message = `cannot decode the image ${name}: ${shortened(problem, MOST_LETTERS)}`;
    throw new SampleError("undecodable_image", message, { image: name }, error);
  }
}

export const imageSize = positiveInteger.max(LARGEST_IMAGE_SIZE);
const interpolationName = oneOf(...INTERPOLATIONS);
const cropPlanner = anyFunction.optional();

/**
 * Decodes an image to RGB [size, size, 3], by default with the evaluation transform. JPEG, PNG, GIF (the first frame),
 * WebP, TIFF, AVIF, BMP and PNM are read, recognized by their content. The resize is antialiased and gives the bytes of
 * Pillow's. As in Pillow, transparency is dropped without blending, color profiles are not applied, and only a TIFF is
 * rotated by its orientation tag (1 to 8). 16-bit gray is scaled to 8 bits, where Pillow clips it.
 *
 * @throws EvaClipError ERR_EVACLIP_INVALID_ARGUMENT; ERR_EVACLIP_IO for a system error such as EMFILE
 * @throws SampleError ERR_EVACLIP_DATA naming an image that is missing, truncated or not an image
 */
export async function decodeImage(
  image: ImageInput,
  size: number,
  planner: CropPlanner = centerCrop,
  interpolation: Interpolation = "bicubic",
): Promise<Uint8Array> {
  checkArgument("decodeImage: size", size, imageSize);
  checkArgument("decodeImage: planner", planner, cropPlanner);
  checkArgument("decodeImage: interpolation", interpolation, interpolationName);
  return decodeHeldImage(holdImage("decodeImage: image", image), size, planner, interpolation);
}

/** RGB [size, size, 3] → [3, size, size], normalized by mean and standard deviation. */
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
