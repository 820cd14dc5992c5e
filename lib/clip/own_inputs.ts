// Inputs are copied at the call, so that modifying their buffers afterwards does not affect results.
import { types } from "node:util";
import { z } from "zod";
import { invalidArgument, listOf, ownArgument, reading } from "../arguments";
import { type HeldImage, holdImage, type ImageInput, type RawImage } from "../image/image_input";
import { dtypeOf, sharedArray } from "../host_tensor";

/**
 * Maximum bytes that a call copies: the copy blocks the event loop, for 16 ms at 4 GB/s. Larger calls would not be faster,
 * because programs take 32 samples at a time. A single sample may be larger.
 */
const MOST_BYTES = 64 * 2 ** 20;

/** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for several samples of more than `MOST_BYTES` */
export function checkBytes(name: string, bytes: number, samples: number): void {
  if (bytes <= MOST_BYTES || samples <= 1) return;
  const megabytes = (bytes / 2 ** 20).toFixed(1);
  const most = Math.max(1, Math.floor((MOST_BYTES * samples) / bytes));
  const message = `${name} are copied at the call, at most ${MOST_BYTES / 2 ** 20} MiB, found ${megabytes} MiB: give about ${most} in a call`;
  throw invalidArgument(message, { bytes, mostBytes: MOST_BYTES });
}

const anyList = listOf(z.unknown(), "a list");

/** A copy of a list, or a list of a single element; its elements are not checked. */
export function ownList(
  name: string,
  given: unknown,
): { readonly list: readonly unknown[]; isList: boolean } {
  const isList = reading(name, () => Array.isArray(given));
  return { list: isList ? ownArgument(name, given as unknown[], anyList) : [given], isList };
}

/** A copy of `samples` concatenated samples in shared memory, which programs read in place. */
export function ownArray<T extends Float32Array | Int32Array | Uint8Array>(
  name: string,
  data: T,
  samples: number,
): T {
  const { length } = data;
  checkBytes(name, data.byteLength, samples);
  const copy = sharedArray(dtypeOf(data), length);
  // A transferred array has length 0 and cannot be read.
  if (length > 0) copy.set(data);
  return copy as T;
}

function pixelsOf(image: unknown): Uint8Array | Uint8ClampedArray | undefined {
  if (typeof image !== "object" || image === null || !("data" in image)) return undefined;
  const { data } = image as RawImage;
  return types.isUint8Array(data) || types.isUint8ClampedArray(data) ? data : undefined;
}

function bytesOf(image: unknown): number {
  if (ArrayBuffer.isView(image) || types.isAnyArrayBuffer(image)) return image.byteLength;
  return pixelsOf(image)?.byteLength ?? 0;
}

/** A snapshot of the images: bytes, pixels and pipelines are copied; paths and Blobs are immutable. */
export function holdImages(
  name: string,
  input: ImageInput | readonly ImageInput[],
): { readonly images: HeldImage[]; readonly isList: boolean } {
  const { list, isList } = ownList(name, input);
  const bytes = reading(name, () => list.reduce<number>((sum, image) => sum + bytesOf(image), 0));
  checkBytes(name, bytes, list.length);
  return { images: list.map((image, i) => holdImage(isList ? `${name}[${i}]` : name, image)), isList };
}

/** Bytes of memory that an image keeps until it is decoded. */
export function heldBytes(image: HeldImage): number {
  if (image.kind === "bytes") return image.bytes.length;
  if (image.kind === "blob") return image.blob.size;
  return image.kind === "pixels" ? image.image.data.length : 0;
}
