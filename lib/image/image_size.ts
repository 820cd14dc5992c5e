/** In pixels per side, above the size of any model. */
export const LARGEST_IMAGE_SIZE = 8192;
