import sharp, { type Sharp, type SharpOptions } from "sharp";
import type { Box } from "../crop";
import { withoutTransforms } from "./avif_properties";
import { decodeBitmap } from "./bitmap";
import { firstGifFrame } from "./gif_frame";
import { formatOf, type ImageFormat } from "./image_format";
import type { RawImage } from "../image_input";
import { decodeNetpbm } from "./netpbm";
import { requirePixels } from "../pixel_limit";
import { withKnownOrientations } from "./tiff_orientation";
import { inTurn, inTurns } from "../turns";

/** An image whose pixels are 8-bit RGB, upright, without alpha. */
export interface PlainImage {
  readonly width: number;
  readonly height: number;
  /** The pixels of a part, [box.height, box.width, 3]. */
  readonly decode: (box: Box) => Promise<Uint8Array>;
}

// As Pillow reads images: no color management; a damaged file is an error, not a gray area.
const OPTIONS: SharpOptions = { failOn: "error", ignoreIcc: true };
const PIXELS_PER_SLICE = 32_768;
/** Every scan of a progressive JPEG visits all pixels, and can be a few bytes. */
const MOST_SCANNED_PIXELS = 2 ** 32;

/** Pixels as RGB of 8 bits. As in Pillow, alpha is dropped without blending. */
function rgbOf(image: Sharp): Promise<Uint8Array> {
  return inTurn(() => image.removeAlpha().toColourspace("srgb").raw({ depth: "uchar" }).toBuffer());
}

/** Given pixels, which may have alpha. */
export function plainFromPixels({ data, width, height, channels }: RawImage): PlainImage {
  requirePixels(width, height);
  const raw = { width, height, channels };
  return { width, height, decode: (box) => rgbOf(sharp(data, { raw }).extract(box)) };
}

/** CMYK to RGB as in Pillow, without color profiles: (1 - ink) × (1 - black). */
async function rgbFromCmyk(image: Sharp): Promise<Uint8Array> {
  const { data, info } = await image
    .pipelineColourspace("cmyk")
    .toColourspace("cmyk")
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  // RGB overwrites CMYK in place: a second buffer could be a hundred megabytes.
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
  return data.subarray(0, 3 * width * height);
}

const clamp = (value: number, most: number) => Math.min(Math.max(value, 0), most);

/** The first frame of a GIF on its canvas. */
function gifFrame(bytes: Uint8Array): PlainImage {
  const { file, left, top, right, bottom, background, canvasWidth, canvasHeight } = firstGifFrame(bytes);
  requirePixels(canvasWidth, canvasHeight);
  const [frameWidth, frameHeight] = [canvasWidth - left - right, canvasHeight - top - bottom];
  const [r, g, b] = background;
  const decode = (box: Box) => {
    // The part of the frame in the box, in the frame's coordinates, with the canvas around it.
    const [x0, x1] = [box.left, box.left + box.width].map((x) => clamp(x - left, frameWidth)) as [
      number,
      number,
    ];
    const [y0, y1] = [box.top, box.top + box.height].map((y) => clamp(y - top, frameHeight)) as [
      number,
      number,
    ];
    const { width, height } = box;
    if (x0 === x1 || y0 === y1)
      return rgbOf(sharp({ create: { width, height, channels: 3, background: { r, g, b } } }));
    const [marginX, marginY] = [left + x0 - box.left, top + y0 - box.top];
    const frame = sharp(file, OPTIONS)
      .extract({ left: x0, top: y0, width: x1 - x0, height: y1 - y0 })
      .extend({
        left: marginX,
        top: marginY,
        right: width - marginX - (x1 - x0),
        bottom: height - marginY - (y1 - y0),
        background: { r, g, b },
      });
    return rgbOf(frame);
  };
  return { width: canvasWidth, height: canvasHeight, decode };
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

async function plainFromSharp(file: Uint8Array, format: ImageFormat): Promise<PlainImage> {
  const { width, height, orientation = 1, ...metadata } = await inTurn(() => sharp(file, OPTIONS).metadata());
  if (metadata.isProgressive && format === "jpeg") requireScans(file, width * height);
  if (metadata.depth === "char") throw new Error("signed 8-bit samples are not supported");
  // TIFF is the only format that Pillow rotates by its orientation tag.
  const isTurned = format === "tiff" && orientation !== 1;
  const rgb = metadata.space === "cmyk" ? rgbFromCmyk : rgbOf;
  const decode = (box: Box) => {
    const image = sharp(file, OPTIONS);
    return rgb((isTurned ? image.autoOrient() : image).extract(box));
  };
  return isTurned && orientation >= 5 ? { width: height, height: width, decode } : { width, height, decode };
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
      return plainFromPixels(await decodeBitmap(file));
    case "pnm":
      return plainFromPixels(await decodeNetpbm(file));
    case "tiff":
      return plainFromSharp(withKnownOrientations(file), format);
    case "avif":
      return plainFromSharp(withoutTransforms(file), format);
    default:
      return plainFromSharp(file, format);
  }
}
