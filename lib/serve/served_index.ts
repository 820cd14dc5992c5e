import type { VectorStore } from "../search/vector_store";
import { EntryImages } from "./entry_image";
import { Thumbnails } from "./thumbnails";

/** An index in service: its vectors, and the pictures of its entries. It does not own the store. */
export class ServedIndex {
  readonly images: EntryImages;
  readonly thumbnails: Thumbnails;

  /** @param maxPixels of an image that is decoded */
  constructor(
    readonly store: VectorStore,
    maxPixels: number,
  ) {
    this.images = new EntryImages(store.root);
    this.thumbnails = new Thumbnails(maxPixels);
  }
}
