import { fileURLToPath } from "node:url";
import { types } from "node:util";
import type { Sharp } from "sharp";
import { z } from "zod";
import {
  describeValue,
  invalidArgument,
  ownArgument,
  positiveInteger,
  reading,
  shortened,
} from "../arguments";
import { bytesOfDataUrl } from "./data_url";

/** Decoded pixels [height, width, channels], 1 gray, 2 gray and alpha, 3 RGB or 4 RGBA. */
export interface RawImage {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 2 | 3 | 4;
}

/** A path, a file: or data: URL, the bytes of an image file, decoded pixels, or a sharp pipeline. */
export type ImageInput = string | URL | Uint8Array | ArrayBuffer | Blob | RawImage | Sharp;

/** A snapshot of an image, which the caller can no longer change. */
export type HeldImage =
  | { readonly kind: "path"; readonly path: string }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array; readonly name: string }
  | { readonly kind: "blob"; readonly blob: Blob }
  | { readonly kind: "pixels"; readonly image: RawImage }
  | { readonly kind: "pipeline"; readonly pipeline: Sharp };

const EXPECTED =
  "a path, a file: or data: URL, the bytes of an image file (Uint8Array or ArrayBuffer), a Blob, { data, width, height, channels } or a sharp pipeline";

const rawImage = z.object(
  {
    data: z.custom((data) => types.isUint8Array(data) || types.isUint8ClampedArray(data), {
      error: "a Uint8Array or Uint8ClampedArray",
    }),
    width: positiveInteger,
    height: positiveInteger,
    channels: z.union([z.literal(1), z.literal(2), z.literal(3), z.literal(4)], { error: "1, 2, 3 or 4" }),
  },
  { error: "an object" },
);

/** Checks methods rather than classes, so that objects of another realm or another copy of sharp are accepted. */
const hasMethods = (input: object, ...names: string[]) =>
  names.every((name) => typeof (input as Record<string, unknown>)[name] === "function");
const isUrl = (input: object): input is URL =>
  typeof (input as URL).href === "string" && typeof (input as URL).protocol === "string";
const isSharp = (input: object): input is Sharp => hasMethods(input, "clone", "toBuffer", "metadata");
const isBlob = (input: object): input is Blob =>
  hasMethods(input, "arrayBuffer", "slice") && typeof (input as Blob).size === "number";

function holdPixels(name: string, input: object): HeldImage {
  const { data, width, height, channels } = ownArgument(name, input as RawImage, rawImage);
  const needed = width * height * channels;
  if (data.length !== needed) {
    const message = `${name}.data: pixels [${height}, ${width}, ${channels}] need ${needed} bytes, found ${data.length}`;
    throw invalidArgument(message, { expected: needed, found: data.length });
  }
  return { kind: "pixels", image: { data: new Uint8Array(data), width, height, channels } };
}

/** `data:`, `file:` or any scheme before `//`; a colon alone can be part of a path. */
const URL_TEXT = /^(?:(data|file):|([a-z][a-z0-9+.-]+):\/\/)/i;

/** The scheme of a URL, in lower case; undefined for a path. */
export function schemeOf(text: string): string | undefined {
  const [, read, other] = URL_TEXT.exec(text) ?? [];
  return (read ?? other)?.toLowerCase();
}

function holdText(name: string, text: string): HeldImage {
  const scheme = schemeOf(text);
  if (scheme === "data") return { kind: "bytes", bytes: bytesOfDataUrl(text), name: "a data: URL" };
  if (scheme === "file") return holdPath(name, fileUrlPath(name, text));
  if (scheme === undefined) return holdPath(name, text);
  const advice = /^https?$/.test(scheme)
    ? "; fetch it and give its bytes: await (await fetch(url)).arrayBuffer()"
    : "; give the bytes of the image";
  const message = `${name} is a ${shortened(scheme)}: URL, which is not read${advice}`;
  throw invalidArgument(message, { found: shortened(text) });
}

function fileUrlPath(name: string, url: string): string {
  try {
    return fileURLToPath(url);
  } catch (error) {
    const { message } = error as Error;
    throw invalidArgument(`${name} is not a file: URL of this machine: ${shortened(message)}`, {
      found: shortened(url),
    });
  }
}

function holdPath(name: string, path: string): HeldImage {
  if (path === "" || path.includes("\0"))
    throw invalidArgument(`${name} must be a path without null characters, found ${describeValue(path)}`);
  return { kind: "path", path };
}

/** A copy; a transferred buffer has no bytes, and no array can be made of it. */
function copyOf(input: Uint8Array | ArrayBufferLike): Uint8Array {
  if (input.byteLength === 0) return new Uint8Array(0);
  return new Uint8Array(types.isUint8Array(input) ? input : new Uint8Array(input));
}

/** The bytes of an image file, not copied: nobody may change them meanwhile. */
export function heldBytesOf(bytes: Uint8Array): HeldImage {
  return { kind: "bytes", bytes, name: `${bytes.byteLength} bytes` };
}

/**
 * Checks an image argument of a public function and copies what the caller could change.
 *
 * @param name its name in messages, such as `decodeImage: image`
 * @throws EvaClipError ERR_EVACLIP_INVALID_ARGUMENT
 */
export function holdImage(name: string, input: unknown): HeldImage {
  return reading(name, () => hold(name, input));
}

function hold(name: string, input: unknown): HeldImage {
  if (typeof input === "string") return holdText(name, input);
  if (typeof input !== "object" || input === null) throw wrongKind(name, input);
  if (types.isUint8Array(input) || types.isAnyArrayBuffer(input)) {
    return heldBytesOf(copyOf(input));
  }
  if (ArrayBuffer.isView(input)) throw wrongKind(name, input);
  if (isUrl(input)) return holdText(name, input.href);
  if (isSharp(input)) return { kind: "pipeline", pipeline: input.clone() };
  if (isBlob(input)) return { kind: "blob", blob: input };
  if ("data" in input) return holdPixels(name, input);
  throw wrongKind(name, input);
}

function wrongKind(name: string, input: unknown): Error {
  const isBody = typeof input === "object" && input !== null && hasMethods(input, "arrayBuffer");
  const advice = isBody ? "; give its bytes: await response.arrayBuffer()" : "";
  const found = describeValue(input);
  return invalidArgument(`${name} must be ${EXPECTED}, found ${found}${advice}`, { field: name, found });
}
