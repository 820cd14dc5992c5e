import { squaredLength } from "../../clip/finite";

/** Forms of an embedding in an answer. */
export const ENCODINGS = ["float", "base64", "binary", "ubinary"] as const;
export type Encoding = (typeof ENCODINGS)[number];

/** The first `dimensions` numbers of an embedding (Matryoshka), at unit length if it is. */
export function truncated(vector: Float32Array, dimensions: number, normalize: boolean): Float32Array {
  if (dimensions === vector.length) return vector;
  const first = vector.slice(0, dimensions);
  const length = normalize ? Math.sqrt(squaredLength(first)) : 1;
  return length > 0 ? first.map((value) => value / length) : first;
}

/** The signs as bits, first in the highest bit, 1 for positive, padded with 0 (`quantize_embeddings` of sentence-transformers). */
function packedSigns(vector: Float32Array): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(vector.length / 8));
  vector.forEach((value, i) => {
    if (value > 0) bytes[i >> 3]! |= 0x80 >> (i & 7);
  });
  return bytes;
}

/** An embedding as JSON holds it: numbers, or the base64 of little-endian f32; `binary` is `ubinary` less 128. */
export function encoded(vector: Float32Array, encoding: Encoding): number[] | string {
  switch (encoding) {
    case "float":
      return Array.from(vector);
    case "base64": {
      const bytes = Buffer.alloc(4 * vector.length);
      vector.forEach((value, i) => bytes.writeFloatLE(value, 4 * i));
      return bytes.toString("base64");
    }
    case "binary":
      return Array.from(packedSigns(vector), (byte) => byte - 128);
    case "ubinary":
      return Array.from(packedSigns(vector));
  }
}
