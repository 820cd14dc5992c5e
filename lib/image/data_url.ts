import { SampleError } from "../sample_error";

/** Longer than any data: URL that browsers and APIs make; decoding a longer one would block the event loop. */
const MOST_CHARACTERS = 2 ** 24;
const MOST_HEADER = 1000;
const PERCENT = 0x25;

/** The value of an ASCII hexadecimal digit; letters have bit 6 set. */
const hexDigit = (byte: number) => (byte & 15) + 9 * (byte >> 6);

function malformed(problem: string): SampleError {
  return new SampleError("undecodable_image", `the data: URL ${problem}`);
}

/** The bytes of percent-encoded text (RFC 3986). */
function percentDecoded(text: string): Buffer {
  const encoded = Buffer.from(text, "utf8");
  if (!text.includes("%")) return encoded;
  if (/%(?![0-9a-f]{2})/i.test(text)) throw malformed("has a % without two hexadecimal digits");
  const bytes = Buffer.alloc(encoded.length);
  let length = 0;
  for (let i = 0; i < encoded.length; i++) {
    const isEscape = encoded[i] === PERCENT;
    bytes[length++] = isEscape ? 16 * hexDigit(encoded[i + 1]!) + hexDigit(encoded[i + 2]!) : encoded[i]!;
    if (isEscape) i += 2;
  }
  return bytes.subarray(0, length);
}

/**
 * The bytes of a data: URL (RFC 2397), in base64 or percent-encoded.
 *
 * @throws SampleError ERR_EVACLIP_DATA when it is malformed or too long; the message does not contain it
 */
export function bytesOfDataUrl(url: string): Uint8Array {
  if (url.length > MOST_CHARACTERS)
    throw malformed(
      `has ${url.length} characters, more than ${MOST_CHARACTERS}; give the bytes of the image`,
    );
  const comma = url.slice(0, MOST_HEADER).indexOf(",");
  if (comma < 0) throw malformed("has no comma between its type and its data");
  const bytes = percentDecoded(url.slice(comma + 1));
  if (!/;\s*base64\s*$/i.test(url.slice(0, comma))) return bytes;
  const base64 = bytes.toString("latin1").replace(/[\t\n\f\r ]+/g, "");
  const digits = base64.replace(/={1,2}$/, "");
  if (!/^[A-Za-z0-9+/]*$/.test(digits) || digits.length % 4 === 1) throw malformed("is not base64");
  return Buffer.from(digits, "base64");
}
