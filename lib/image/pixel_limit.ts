/** The limit of libvips: 16,383 x 16,383. */
const MOST_PIXELS = 0x3fff ** 2;

/** @throws Error for an invalid size, and for more pixels than the limit */
export function requirePixels(width: number, height: number): void {
  const isSize = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
  if (!isSize) throw new Error(`its size is ${width} x ${height} pixels`);
  if (width * height > MOST_PIXELS)
    throw new Error(`its ${width} x ${height} pixels are more than the limit of ${MOST_PIXELS}`);
}
