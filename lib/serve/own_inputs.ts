// Inputs are copied when a call is made, so that what the caller does with its buffers afterwards changes no result.
import { types } from "node:util";
import { checkLength, invalidArgument } from "../arguments";
import { type HeldImage, holdImage, type ImageInput, type RawImage } from "../data/image_input";
import { dtypeOf, sharedArray } from "../host_tensor";

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

/** A copy of `samples` samples one after another, in shared memory, where programs read it in place. */
export function ownArray<T extends Float32Array | Int32Array | Uint8Array>(
  name: string,
  data: T,
  samples: number,
): T {
  checkBytes(name, data.byteLength, samples);
  const copy = sharedArray(dtypeOf(data), data.length);
  copy.set(data);
  return copy as T;
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

/** Images as they are now; those given as bytes, pixels or pipelines are copied, paths and Blobs cannot change. */
export function holdImages(name: string, input: ImageInput | readonly ImageInput[]): HeldImage[] {
  const images = ownList(name, Array.isArray(input) ? input : [input]) as ImageInput[];
  const bytes = images.reduce((sum, image) => sum + bytesOf(image), 0);
  checkBytes(name, bytes, images.length);
  return images.map((image, i) => holdImage(Array.isArray(input) ? `${name}[${i}]` : name, image));
}
