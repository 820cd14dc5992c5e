// Where to search: the index that the server has, or pictures that the visitor gave to this page.
//
// A source finds the pictures nearest to a query, `{ text }`, `{ file }` or `{ like: key of a picture of the source }`,
// as matches `{ key, name, caption, similarity, picture }`, where `picture()` resolves to the URL of an image.
import { apiKey, isAbort, request, requestJson } from "./api.mjs";
import { dataUrl } from "./embedder.mjs";
import { describeError } from "./notices.mjs";
import { dot } from "./vectors.mjs";

const lastPart = (path) => path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("#")) + 1);

/** The index of the server. */
export class ServedIndex {
  id = "index";
  #urls = new Map();

  /** @param info the answer of `GET v1/index` */
  constructor(info) {
    this.size = info.size;
  }

  async nearest(query, howMany, signal) {
    const asked =
      query.text !== undefined
        ? { text: query.text }
        : query.file !== undefined
          ? { image: await dataUrl(query.file) }
          : { id: Number(query.like) };
    const { data } = await requestJson("v1/search", { body: { ...asked, count: howMany }, signal });
    return data.map(({ id, similarity, source, caption, image }) => ({
      key: String(id),
      name: lastPart(source),
      title: source,
      caption: caption ?? "",
      similarity,
      picture: () => this.#pictureOf(image),
    }));
  }

  /** What the picture of a key is, for a search that starts from its address. */
  async describe(key) {
    const { source, caption, image } = await requestJson(`v1/index/${encodeURIComponent(key)}`);
    return { name: caption || lastPart(source), picture: () => this.#pictureOf(image) };
  }

  /** An image element sends no key, so with one the image is fetched here. */
  async #pictureOf(path) {
    const url = path.replace(/^\//, "");
    if (apiKey() === null) return url;
    const known = this.#urls.get(url);
    if (known !== undefined) return known;
    const response = await request(url, { retries: 3 });
    const made = URL.createObjectURL(await response.blob());
    this.#urls.set(url, made);
    return made;
  }
}

/** Pictures of the visitor, embedded by the server and searched in the page. */
export class OwnPictures {
  id = "own";
  /** `{ file, name, vector, url }` by path. */
  #pictures = new Map();
  #embedder;

  get size() {
    return this.#pictures.size;
  }

  /** Vectors of another model say nothing to this one. */
  use(embedder) {
    this.#embedder = embedder;
    this.clear();
  }

  /**
   * Embeds pictures `{ file, path }` and keeps them; a path that is there already is replaced.
   * @param onProgress called with how many are done
   * @returns those that failed, `{ path, reason }`
   */
  async add(pictures, onProgress, signal) {
    const failed = [];
    let done = 0;
    await Promise.all(
      pictures.map(async ({ file, path }) => {
        try {
          const vector = await this.#embedder.picture(file, signal);
          if (!signal.aborted) this.#keep(file, path, vector);
        } catch (error) {
          if (!isAbort(error)) failed.push({ path, reason: describeError(error) });
        }
        onProgress(++done);
      }),
    );
    return failed;
  }

  clear() {
    for (const { url } of this.#pictures.values()) if (url) URL.revokeObjectURL(url);
    this.#pictures.clear();
  }

  async nearest(query, howMany, signal) {
    const vector = await this.#vectorOf(query, signal);
    if (vector === undefined) return [];
    const scored = [...this.#pictures]
      .filter(([path]) => path !== query.like)
      .map(([path, picture]) => ({ path, picture, similarity: dot(vector, picture.vector) }));
    scored.sort((a, b) => b.similarity - a.similarity);
    return scored.slice(0, howMany).map(({ path, picture, similarity }) => ({
      key: path,
      name: picture.name,
      title: path,
      caption: "",
      similarity,
      picture: async () => this.#urlOf(picture),
    }));
  }

  async describe(key) {
    const picture = this.#pictures.get(key);
    if (picture === undefined) return undefined;
    return { name: picture.name, picture: async () => this.#urlOf(picture) };
  }

  async #vectorOf({ text, file, like }, signal) {
    if (text !== undefined) return (await this.#embedder.texts([text], signal))[0];
    if (file !== undefined) return this.#embedder.picture(file);
    return this.#pictures.get(like)?.vector;
  }

  #keep(file, path, vector) {
    const replaced = this.#pictures.get(path);
    if (replaced?.url) URL.revokeObjectURL(replaced.url);
    this.#pictures.set(path, { file, name: lastPart(path), vector });
  }

  #urlOf(picture) {
    picture.url ??= URL.createObjectURL(picture.file);
    return picture.url;
  }
}
