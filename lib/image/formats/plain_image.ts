import sharp, { type Metadata, type Sharp, type SharpOptions } from "sharp";
import { withoutTransforms } from "./avif_properties";
import { decodeBitmap } from "./bitmap";
import { firstGifFrame } from "./gif_frame";
import { formatOf, type ImageFormat } from "./image_format";
import type { RawImage } from "../image_input";
import { decodeNetpbm } from "./netpbm";
import { requirePixels } from "../pixel_limit";
import { withKnownOrientations } from "./tiff_orientation";
import { inTurns } from "../turns";

/** An image ready for resampling: 8 bits, gray or RGB, upright, without alpha. */
export interface PlainImage {
  readonly width: number;
  readonly height: number;
  readonly open: () => Sharp;
}

// As Pillow reads images: no color management; a damaged file is an error, not a gray area.
const OPTIONS: SharpOptions = { failOn: "error", ignoreIcc: true };
/** Larger images stay compressed between two passes, so that memory is bounded by the file's size, not the image's. */
const MOST_RAW_PIXELS = 2 ** 24;
const PIXELS_PER_SLICE = 32_768;
/** Every scan of a progressive JPEG visits all pixels, and can be a few bytes. */
const MOST_SCANNED_PIXELS = 2 ** 32;

function fromRaw({ data, width, height, channels }: RawImage): PlainImage {
  return { width, height, open: () => sharp(data, { raw: { width, height, channels } }) };
}

/**
 * Does in a separate pass what must precede resampling: Pillow drops alpha and reduces 16 bits to 8 first, where sharp
 * would multiply colors by alpha.
 */
async function inPassOfItsOwn(image: Sharp, pixels: number): Promise<PlainImage> {
  const plain = image.removeAlpha().toColourspace("srgb");
  if (pixels > MOST_RAW_PIXELS) {
    const file = await plain.png({ compressionLevel: 1 }).toBuffer({ resolveWithObject: true });
    return { width: file.info.width, height: file.info.height, open: () => sharp(file.data, OPTIONS) };
  }
  const { data, info } = await plain.raw().toBuffer({ resolveWithObject: true });
  return fromRaw({ data, width: info.width, height: info.height, channels: info.channels as 1 | 3 });
}

/** Given pixels, which may have alpha. */
export async function plainFromPixels(image: RawImage): Promise<PlainImage> {
  requirePixels(image.width, image.height);
  const plain = fromRaw(image);
  if (image.channels === 1 || image.channels === 3) return plain;
  return inPassOfItsOwn(plain.open(), image.width * image.height);
}

/** CMYK to RGB as in Pillow, without color profiles: (1 - ink) × (1 - black). */
async function rgbFromCmyk(image: Sharp): Promise<PlainImage> {
  const { data, info } = await image
    .pipelineColourspace("cmyk")
    .toColourspace("cmyk")
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  // RGB overwrites CMYK in place: a second buffer could be a gigabyte.
  await inTurns(width * height, PIXELS_PER_SLICE, (begin, end) => {
    for (let pixel = begin; pixel < end; pixel++) {
      const [from, to] = [channels * pixel, 3 * pixel];
      const light = 255 - data[from + 3]!;
      const [c, m, y] = [
        data[from]! * light + 128,
        data[from + 1]! * light + 128,
        data[from + 2]! * light + 128,
      ];
      data[to] = light - (((c >> 8) + c) >> 8);
      data[to + 1] = light - (((m >> 8) + m) >> 8);
      data[to + 2] = light - (((y >> 8) + y) >> 8);
    }
  });
  return fromRaw({ data: data.subarray(0, 3 * width * height), width, height, channels: 3 });
}

async function gifFrame(file: Uint8Array): Promise<PlainImage> {
  const {
    file: frame,
    left,
    top,
    right,
    bottom,
    background,
    canvasWidth,
    canvasHeight,
  } = firstGifFrame(file);
  requirePixels(canvasWidth, canvasHeight);
  const [r, g, b] = background;
  const image = sharp(frame, OPTIONS).extend({ left, top, right, bottom, background: { r, g, b } });
  return inPassOfItsOwn(image, canvasWidth * canvasHeight);
}

/** Refuses a progressive JPEG whose many scans would take minutes. */
function requireScans(file: Uint8Array, pixels: number): void {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const startOfScan = Buffer.from([0xff, 0xda]);
  let scans = 0;
  for (let at = bytes.indexOf(startOfScan); at >= 0; at = bytes.indexOf(startOfScan, at + 2)) scans++;
  if (scans * pixels > MOST_SCANNED_PIXELS)
    throw new Error(`its ${scans} scans of ${pixels} pixels are more than ${MOST_SCANNED_PIXELS} in all`);
}

/** Whether the decoder's pixels are 8-bit gray or RGB. */
const isPlain = ({ space, depth, hasAlpha }: Metadata) =>
  depth === "uchar" && !hasAlpha && (space === "srgb" || space === "b-w");

async function plainFromSharp(file: Uint8Array, format: ImageFormat): Promise<PlainImage> {
  const metadata = await sharp(file, OPTIONS).metadata();
  const { width, height, orientation = 1 } = metadata;
  if (metadata.isProgressive && format === "jpeg") requireScans(file, width * height);
  if (metadata.depth === "char") throw new Error("signed 8-bit samples are not supported");
  // TIFF is the only format that Pillow rotates by its orientation tag.
  const isTurned = format === "tiff" && orientation !== 1;
  const open = () => sharp(file, OPTIONS);
  if (isPlain(metadata) && !isTurned) return { width, height, open };
  const upright = isTurned ? open().autoOrient() : open();
  return metadata.space === "cmyk" ? rgbFromCmyk(upright) : inPassOfItsOwn(upright, width * height);
}

/**
 * Opens an image file by its content. Pixels are those of Pillow's `Image.open(file).convert("RGB")`: the first frame,
 * alpha dropped without blending, no color profile, rotated only for TIFF; 16-bit gray is scaled to 8 bits.
 *
 * @throws SampleError ERR_EVACLIP_DATA for an unsupported format; an Error of the decoder for a damaged file
 */
export async function plainFromFile(file: Uint8Array, name: string): Promise<PlainImage> {
  const format = formatOf(file, name);
  switch (format) {
    case "gif":
      return gifFrame(file);
    case "bmp":
      return fromRaw(await decodeBitmap(file));
    case "pnm":
      return fromRaw(await decodeNetpbm(file));
    case "tiff":
      return plainFromSharp(withKnownOrientations(file), format);
    case "avif":
      return plainFromSharp(withoutTransforms(file), format);
    default:
      return plainFromSharp(file, format);
  }
}
