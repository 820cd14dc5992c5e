// Inputs are copied when a call is made, so that what the caller does with its buffers afterwards changes no result.
import { types } from "node:util";
import type { Sharp } from "sharp";
import { checkLength, invalidArgument } from "../arguments";
import type { ImageInput, RawImage } from "../data/image";
import { holds } from "../host_tensor";

/**
 * Most bytes that a call copies: the copy holds the event loop, for 16 ms at 4 GB/s. More in one call would gain nothing,
 * since programs take 32 samples at a time. A single sample may be larger.
 */
const MOST_BYTES = 64 * 2 ** 20;

/** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for several samples of more bytes than are copied */
export function checkBytes(name: string, bytes: number, samples: number): void {
  if (bytes <= MOST_BYTES || samples <= 1) return;
  const megabytes = (bytes / 2 ** 20).toFixed(1);
  const most = Math.max(1, Math.floor((MOST_BYTES * samples) / bytes));
  const message = `${name} are copied when the call is made, at most ${MOST_BYTES / 2 ** 20} MiB, found ${megabytes} MiB: give about ${most} in a call`;
  throw invalidArgument(message, { bytes, mostBytes: MOST_BYTES });
}

/** A copy of a list, whose elements are then checked and used; anything else as it is. */
export function ownList(name: string, list: unknown): unknown {
  checkLength(name, list);
  return Array.isArray(list) ? [...list] : list;
}

/** Copies elements out of memory that may be shared or, where there are none, detached. */
function filled<T extends Float32Array | Int32Array | Uint8Array>(own: T, data: ArrayLike<number>): T {
  if (data.length > 0) own.set(data);
  return own;
}

/** A copy of `samples` samples one after another. */
export function ownArray<T extends Float32Array | Int32Array | Uint8Array>(
  name: string,
  data: T,
  samples: number,
): T {
  const { length } = data;
  checkBytes(name, data.byteLength, samples);
  if (holds("u8", data)) return filled(new Uint8Array(length) as T, data);
  return filled((holds("f32", data) ? new Float32Array(length) : new Int32Array(length)) as T, data);
}

/** A copy of bytes; not by slice(), because a Buffer's is a view. */
function ownBytes(bytes: Uint8Array | Uint8ClampedArray): Uint8Array {
  return filled(new Uint8Array(bytes.length), bytes);
}

function pixelsOf(image: ImageInput): Uint8Array | Uint8ClampedArray | undefined {
  if (typeof image !== "object" || image === null || !("data" in image)) return undefined;
  const { data } = image as RawImage;
  return types.isUint8Array(data) || types.isUint8ClampedArray(data) ? data : undefined;
}

function bytesOf(image: ImageInput): number {
  if (ArrayBuffer.isView(image) || types.isAnyArrayBuffer(image)) return image.byteLength;
  return pixelsOf(image)?.byteLength ?? 0;
}

function isPipeline(image: unknown): image is Sharp {
  const { clone, metadata } = (image ?? {}) as Partial<Sharp>;
  return typeof clone === "function" && typeof metadata === "function";
}

/** An image that nobody else can change; what is no image stays as it is, for the decoder to refuse. */
function ownImage(image: ImageInput): ImageInput {
  if (types.isUint8Array(image)) return ownBytes(image);
  if (types.isAnyArrayBuffer(image)) {
    return image.byteLength === 0 ? new Uint8Array(0) : ownBytes(new Uint8Array(image));
  }
  if (image instanceof URL) return new URL(image.href);
  if (isPipeline(image)) return image.clone();
  const pixels = pixelsOf(image);
  if (pixels === undefined) return image;
  const { width, height, channels } = image as RawImage;
  return { data: ownBytes(pixels), width, height, channels };
}

/** Copies of images that are given as bytes, pixels or pipelines; paths and Blobs cannot change. */
export function ownImages(name: string, input: ImageInput | readonly ImageInput[]): ImageInput[] {
  const images = ownList(name, Array.isArray(input) ? input : [input]) as ImageInput[];
  const bytes = images.reduce((sum, image) => sum + bytesOf(image), 0);
  checkBytes(name, bytes, images.length);
  return images.map(ownImage);
}
