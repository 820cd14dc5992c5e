// Embeddings of one model, from POST v1/embeddings.
import { isAbort, requestJson } from "./api.mjs";
import { decodeVector } from "./vectors.mjs";

/** Pictures and bytes of one request, and requests at the same time: the server works while the page reads files. */
const PICTURES_AT_ONCE = 8;
const BYTES_AT_ONCE = 4 * 1024 * 1024;
const REQUESTS_AT_ONCE = 2;
const TEXTS_AT_ONCE = 64;
const MOST_CACHED_TEXTS = 20_000;
/** For folders, where nobody waits for one picture. */
const RETRIES = 8;

function base64Of(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new Error(`${file.name} cannot be read: ${reader.error.message}`));
    reader.readAsDataURL(file);
  });
}

/** The server recognizes formats by content; a name without a known ending has no type. */
export async function dataUrl(file) {
  const type = file.type.startsWith("image/") ? file.type : "image/png";
  return `data:${type};base64,${await base64Of(file)}`;
}

/** Embeds pictures and texts; what was embedded once is not sent again. */
export class Embedder {
  #model;
  #texts = new Map();
  #pictures = new WeakMap();
  #waiting = [];
  #running = 0;
  #pictureLimit;
  #textLimit;

  /** @param model an entry of `GET v1/models` */
  constructor(model) {
    this.#model = model.id;
    this.#pictureLimit = Math.min(PICTURES_AT_ONCE, model.limits?.max_images ?? PICTURES_AT_ONCE);
    this.#textLimit = Math.min(TEXTS_AT_ONCE, model.limits?.max_texts ?? TEXTS_AT_ONCE);
  }

  /** One embedding per text. */
  async texts(texts, signal) {
    const missing = [...new Set(texts)].filter((text) => !this.#texts.has(text));
    if (this.#texts.size + missing.length > MOST_CACHED_TEXTS) this.#texts.clear();
    const found = new Map();
    for (let i = 0; i < missing.length; i += this.#textLimit) {
      const some = missing.slice(i, i + this.#textLimit);
      const vectors = await this.#request(some, { signal });
      some.forEach((text, k) => {
        found.set(text, vectors[k]);
        this.#texts.set(text, vectors[k]);
      });
    }
    return texts.map((text) => this.#texts.get(text) ?? found.get(text));
  }

  /** The embedding of a picture file; pictures asked for at the same time share requests, and each fails alone. */
  picture(file, signal) {
    const known = this.#pictures.get(file);
    if (known !== undefined) return known;
    const embedding = new Promise((resolve, reject) => {
      this.#waiting.push({ file, signal, resolve, reject });
    });
    this.#pictures.set(file, embedding);
    embedding.catch(() => this.#pictures.delete(file));
    // After the other calls of this turn.
    queueMicrotask(() => this.#start());
    return embedding;
  }

  #start() {
    while (this.#running < REQUESTS_AT_ONCE && this.#waiting.length > 0) {
      this.#running++;
      this.#embedPictures(this.#take()).finally(() => {
        this.#running--;
        this.#start();
      });
    }
  }

  /** The next pictures to send together. */
  #take() {
    const taken = [];
    for (let bytes = 0; taken.length < this.#pictureLimit && this.#waiting.length > 0; ) {
      const next = this.#waiting[0];
      bytes += next.file.size;
      if (taken.length > 0 && bytes > BYTES_AT_ONCE) break;
      this.#waiting.shift();
      if (next.signal?.aborted) next.reject(next.signal.reason);
      else taken.push(next);
    }
    return taken;
  }

  async #embedPictures(pictures) {
    if (pictures.length === 0) return;
    try {
      const inputs = await Promise.all(pictures.map(async ({ file }) => ({ image: await dataUrl(file) })));
      const { signal } = pictures[0];
      const isShared = pictures.every((picture) => picture.signal === signal);
      const vectors = await this.#request(inputs, { ...(isShared && { signal }), retries: RETRIES });
      pictures.forEach(({ resolve }, i) => {
        resolve(vectors[i]);
      });
    } catch (error) {
      const [first, ...others] = pictures;
      if (others.length === 0 || isAbort(error)) for (const { reject } of pictures) reject(error);
      // One bad picture fails the request of all.
      else for (const picture of [first, ...others]) await this.#embedPictures([picture]);
    }
  }

  async #request(input, options) {
    const body = { model: this.#model, input, encoding_format: "base64" };
    const { data } = await requestJson("v1/embeddings", { body, ...options });
    return data.map(({ embedding }) => decodeVector(embedding));
  }
}
