/** The width of a head in every CLIP but the largest. */
export const USUAL_HEAD_WIDTH = 64;

/** `USUAL_HEAD_WIDTH` where it divides the width of a tower; undefined elsewhere. */
export function usualHeadWidth(width: number): number | undefined {
  return width % USUAL_HEAD_WIDTH === 0 ? USUAL_HEAD_WIDTH : undefined;
}
