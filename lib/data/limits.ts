/** Pixels of a side that no tower comes near. */
export const LARGEST_IMAGE_SIZE = 8192;
/** Tokens of a caption, start and end of text included. */
export const SHORTEST_CONTEXT = 2;
export const LONGEST_CONTEXT = 1 << 16;
/** More would be memory for padding alone. */
export const LARGEST_TEXT_BUCKET = 1 << 20;
