import { isEvaClipError } from "../errors";
import { checkIndexModel } from "../search/model_check";
import type { VectorStore } from "../search/vector_store";
import type { Batcher } from "./batcher";
import { EntryImages } from "./page/entry_image";
import { Thumbnails } from "./page/thumbnails";

/** An index in service: its vectors, and the pictures of its entries. It does not own the store. */
export class ServedIndex {
  readonly images: EntryImages;
  readonly thumbnails: Thumbnails;
  readonly #fits = new Map<Batcher, Promise<boolean>>();

  /** @param maxPixels of an image that is decoded */
  constructor(
    readonly store: VectorStore,
    maxPixels: number,
  ) {
    this.images = new EntryImages(store.root);
    this.thumbnails = new Thumbnails(maxPixels);
  }

  /** The name of the first of `models` that embedded the index; queries of another one would find arbitrary images. */
  async modelAmong(models: Iterable<readonly [name: string, batcher: Batcher]>): Promise<string | undefined> {
    for (const [name, batcher] of models) if (await this.#isOf(batcher)) return name;
    return undefined;
  }

  /** Reads the weights of a model, once. */
  #isOf(batcher: Batcher): Promise<boolean> {
    const known = this.#fits.get(batcher);
    if (known !== undefined) return known;
    const fits = checkIndexModel(this.store, batcher.model).then(
      () => true,
      (error: unknown) => {
        if (isEvaClipError(error, "ERR_EVACLIP_INDEX_MISMATCH")) return false;
        this.#fits.delete(batcher);
        throw error;
      },
    );
    this.#fits.set(batcher, fits);
    return fits;
  }
}
