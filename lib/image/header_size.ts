import sharp from "sharp";
import { shortened } from "../arguments";
import { EvaClipError } from "../errors";
import { SampleError } from "../sample_error";
import { bitmapHeader } from "./formats/bitmap";
import { firstGifFrame } from "./formats/gif_frame";
import { formatOf } from "./formats/image_format";
import { netpbmSize } from "./formats/netpbm";
import { inTurn } from "./turns";

export interface PixelSize {
  readonly width: number;
  readonly height: number;
}

async function sizeOf(file: Uint8Array, name: string): Promise<PixelSize> {
  switch (formatOf(file, name)) {
    case "gif": {
      const { canvasWidth, canvasHeight } = firstGifFrame(file);
      return { width: canvasWidth, height: canvasHeight };
    }
    case "bmp":
      return bitmapHeader(file);
    case "pnm":
      return netpbmSize(file);
    default:
      // The limit is the caller's.
      return sharp(file, { limitInputPixels: false }).metadata();
  }
}

/**
 * Width and height of an image file, read from its header without decoding pixels.
 * @throws SampleError `ERR_EVACLIP_DATA` for an unknown format or a damaged header
 */
export async function headerSize(file: Uint8Array): Promise<PixelSize> {
  const name = `${file.byteLength} bytes`;
  try {
    const { width, height } = await inTurn(() => sizeOf(file, name));
    return { width, height };
  } catch (error) {
    if (error instanceof EvaClipError) throw error;
    const [problem = ""] = (error as Error).message.trim().split("\n");
    const message = `cannot decode the image ${name}: ${shortened(problem, 200)}`;
    throw new SampleError("undecodable_image", message, { image: name }, error);
  }
}
