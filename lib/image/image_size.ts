/** Pixels of a side: larger than any tower accepts. */
export const LARGEST_IMAGE_SIZE = 8192;
