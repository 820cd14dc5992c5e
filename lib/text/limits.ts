/** In tokens, start and end of text included. */
export const SHORTEST_CONTEXT = 2;
export const LONGEST_CONTEXT = 1 << 16;
/** A larger bucket would only add padding. */
export const LARGEST_TEXT_BUCKET = 1 << 20;
