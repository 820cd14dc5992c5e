import { SampleError } from "../../sample_error";

/** Supported formats. Time and memory of their decoders are bounded by the image's size. */
export type ImageFormat = "jpeg" | "png" | "gif" | "webp" | "tiff" | "avif" | "bmp" | "pnm";

/** Number of bytes that identify a format. */
export const HEAD_BYTES = 4096;

const hex = (text: string) => Buffer.from(text, "latin1").toString("hex");

/** First bytes of files, in hexadecimal. */
const READ: readonly (readonly [RegExp, ImageFormat])[] = [
  [/^ffd8ff/, "jpeg"],
  [/^89504e470d0a1a0a/, "png"],
  [/^47494638(37|39)61/, "gif"],
  [/^52494646.{8}57454250/, "webp"],
  [/^(49492[ab]00|4d4d002[ab])/, "tiff"],
  [new RegExp(`^${hex("BM")}`), "bmp"],
  [/^503[1-6](0[9a-d]|20|23)/, "pnm"],
];

/** Formats that are refused by name. */
const REFUSED: readonly (readonly [RegExp, string])[] = [
  [/^1f8b/, "gzip, such as .svgz"],
  [new RegExp(`^${hex("%PDF")}`), "PDF"],
  [new RegExp(`^(${hex("%!PS")}|c5d0d3c6)`), "PostScript"],
  [new RegExp(`^(ff0a|0000000c${hex("JXL ")})`), "JPEG XL"],
  [new RegExp(`^(ff4fff51|0000000c${hex("jP  ")})`), "JPEG 2000"],
  [/^00000[12]00(?!00)..00/, "ICO"],
  [new RegExp(`^${hex("8BPS")}`), "Photoshop"],
  [new RegExp(`^${hex("DDS ")}`), "DDS"],
  [new RegExp(`^${hex("qoif")}`), "QOI"],
  [new RegExp(`^${hex("icns")}`), "ICNS"],
  [/^762f3101/, "OpenEXR"],
  [new RegExp(`^${hex("#?R")}`), "Radiance HDR"],
  [new RegExp(`^${hex("SIMPLE  =")}`), "FITS"],
  [/^50(37|66|46)(0a|0d|20)/, "PAM or PFM"],
  [/^(08f2a6b6|b6a6f208)/, "VIPS"],
  [/^0a0[0-5]010[1248]/, "PCX"],
  [/^01da0[01]0[12]/, "SGI"],
  [new RegExp(`^(d7cdc69a|01000000.{72}${hex(" EMF")})`), "WMF or EMF"],
  [new RegExp(`^${hex("gimp xcf")}`), "XCF"],
  [new RegExp(`^${hex("#define ")}`), "XBM"],
  [new RegExp(`^${hex("/* XPM")}`), "XPM"],
  [new RegExp(`^${hex("push graphic-context")}`), "MVG"],
  [/^504b0304/, "zip"],
  // TGA has no signature: it is recognized by the few values that the fields of its header can have.
  [/^..0[01]0[1239ab].{26}(08|0f|10|18|20)[0-3]./, "TGA"],
];

/** AVIF and HEIC share a container: its brands state the content. */
function isoFormat(start: Buffer): string | undefined {
  if (start.length < 12 || start.toString("latin1", 4, 8) !== "ftyp") return undefined;
  const end = Math.max(12, start.readUInt32BE(0));
  const brands: string[] = start.toString("latin1", 8, end).match(/.{4}/gs) ?? [];
  if (brands.includes("avif") || brands.includes("avis")) return "avif";
  return brands.some((brand) => /^(hei[cxms]|hev[cxms]|mif1|msf1)$/.test(brand)) ? "HEIC" : "ISO media";
}

/** The first text of markup, without byte order mark, in any encoding that SVG may have. */
function markupName(head: Buffer): string | undefined {
  const isLittle = head[0] === 0xff || head[1] === 0;
  const isBig = head[0] === 0xfe || head[0] === 0;
  const even = head.subarray(0, head.length & ~1);
  let text = head.toString("utf8");
  if (isBig) text = Buffer.from(even).swap16().toString("utf16le");
  else if (isLittle) text = even.toString("utf16le");
  text = text.replace(/^\ufeff/, "").trimStart();
  if (!text.startsWith("<")) return undefined;
  return /<(?:\w+:)?svg[\s>/]|<!DOCTYPE\s+svg/i.test(text) ? "SVG" : "XML or HTML";
}

/**
 * The format of a file by its first bytes, never by its name. A format whose decoder is not known to be bounded is refused
 * before decoding.
 *
 * @throws SampleError ERR_EVACLIP_DATA naming the format found
 */
export function formatOf(bytes: Uint8Array, name: string): ImageFormat {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, HEAD_BYTES));
  const head = start.toString("hex", 0, 64);
  const format = READ.find(([signature]) => signature.test(head))?.[1];
  if (format !== undefined) return format;
  const iso = isoFormat(start);
  if (iso === "avif") return iso;
  throw refusal(
    name,
    start,
    iso ?? markupName(start) ?? REFUSED.find(([signature]) => signature.test(head))?.[1],
  );
}

function refusal(name: string, start: Buffer, format: string | undefined): SampleError {
  const unknown =
    start.length === 0 ? "it is empty" : `it begins with the bytes ${start.toString("hex", 0, 8)}`;
  const found = format === undefined ? unknown : `its format is ${format}`;
  const expected = "JPEG, PNG, GIF, WebP, TIFF, AVIF, BMP and PNM are read";
  return new SampleError("undecodable_image", `cannot decode the image ${name}: ${found}; ${expected}`, {
    image: name,
    ...(format !== undefined && { format }),
  });
}
