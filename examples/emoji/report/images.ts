import sharp from "sharp";

/** A square image as a PNG data URI. */
export async function pngDataUri(pixels: Uint8Array, size: number, channels: 3 | 4): Promise<string> {
  const png = await sharp(pixels, { raw: { width: size, height: size, channels } })
    .png({ compressionLevel: 9 })
    .toBuffer();
  return `data:image/png;base64,${png.toString("base64")}`;
}

/** Escapes text for HTML content and attributes. */
export function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
