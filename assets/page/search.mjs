// The view that searches pictures by text, by picture, or for neighbors of a picture found.
import { isAbort } from "./api.mjs";
import { byId, count, debounced, element } from "./elements.mjs";
import { chooseWith } from "./intake.mjs";
import { clearError, showError } from "./notices.mjs";
import { OwnPicturesPanel } from "./own_pictures_panel.mjs";
import { OwnPictures, ServedIndex } from "./sources.mjs";

const TYPING_PAUSE_MS = 300;
const AT_ONCE = 24;

/**
 * The question is the page's address, so that Back returns to the one before: `#search?in=index&text=…`, `&like=KEY`, or
 * `&picture=N` for the Nth picture that was searched by, which only this page knows.
 */
export class SearchView {
  #isConnected = false;
  #index;
  #own = new OwnPictures();
  #panel;
  #asked = [];
  #howMany = AT_ONCE;
  #pending;
  #parameters = new URLSearchParams();

  constructor() {
    this.#panel = new OwnPicturesPanel(this.#own, () => this.#ownChanged());
    const query = byId("query");
    const later = debounced(TYPING_PAUSE_MS, () => this.#askText(true));
    query.addEventListener("input", later);
    byId("search-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#askText(false);
    });
    chooseWith(
      byId("query-choose"),
      byId("query-file"),
      ([picture]) => picture && this.askPicture(picture.file),
    );
    byId("sources").addEventListener("change", (event) =>
      this.#go({ in: event.target.value, ...this.#portable() }),
    );
    byId("use-own").addEventListener("click", () => this.#go({ in: "own", ...this.#portable() }));
    byId("asked-clear").addEventListener("click", () => {
      query.value = "";
      this.#go({ in: this.#source });
      query.focus();
    });
    byId("more").addEventListener("click", () => {
      this.#howMany *= 2;
      this.#run();
    });
  }

  /** Takes the model of pictures of the visitor, and the index of the server, undefined for none. */
  use(embedder, indexInfo) {
    this.#isConnected = true;
    this.#own.use(embedder);
    this.#index = indexInfo && new ServedIndex(indexInfo);
    byId("index-size").textContent = indexInfo ? count(indexInfo.size, "picture") : "none";
    this.#panel.show();
    this.show(this.#parameters);
  }

  /** Shows what the address asks. */
  show(parameters) {
    this.#parameters = parameters;
    this.#howMany = AT_ONCE;
    for (const radio of byId("sources").querySelectorAll("input"))
      radio.checked = radio.value === this.#source;
    byId("own-panel").hidden = this.#source !== "own";
    byId("no-index").hidden = !this.#isConnected || this.#source !== "index" || this.#index !== undefined;
    const text = parameters.get("text");
    if (text !== null || !this.#isTyping()) byId("query").value = text ?? "";
    this.#run();
  }

  /** Searches by a picture of the visitor. */
  askPicture(file) {
    this.#asked.push(file);
    this.#go({ in: this.#source, picture: this.#asked.length - 1 });
  }

  /** Makes pictures `{ file, path }` searchable. */
  addOwn(pictures) {
    if (this.#source !== "own") this.#go({ in: "own", ...this.#portable() });
    this.#panel.add(pictures);
  }

  get #source() {
    return this.#parameters.get("in") ?? "index";
  }

  #isTyping() {
    return document.activeElement === byId("query");
  }

  /** The question, if another source can answer it. */
  #portable() {
    const { text, picture } = Object.fromEntries(this.#parameters);
    return { ...(text !== undefined && { text }), ...(picture !== undefined && { picture }) };
  }

  #address(question) {
    return `#search?${new URLSearchParams(question)}`;
  }

  /** Typing replaces the address, so that Back does not go letter by letter. */
  #go(question, replace = false) {
    const address = this.#address(question);
    if (!replace) {
      location.hash = address;
      return;
    }
    history.replaceState(null, "", address);
    this.show(new URLSearchParams(address.slice(address.indexOf("?") + 1)));
  }

  #askText(isTyping) {
    const text = byId("query").value.trim();
    if (text === (this.#parameters.get("text") ?? "")) return;
    const isContinued = isTyping && this.#parameters.has("text");
    this.#go({ in: this.#source, ...(text !== "" && { text }) }, isContinued);
  }

  #ownChanged() {
    if (this.#source === "own") this.#run();
  }

  #question() {
    const { text, like, picture } = Object.fromEntries(this.#parameters);
    if (text) return { text };
    if (like !== undefined) return { like };
    const file = this.#asked[picture];
    return file && { file };
  }

  async #run() {
    this.#pending?.abort();
    const pending = new AbortController();
    this.#pending = pending;
    const source = this.#source === "own" ? this.#own : this.#index;
    const question = this.#question();
    clearError("search");
    if (!question || !source || source.size === 0) {
      this.#showAsked(undefined);
      this.#showMatches(
        [],
        source,
        source?.size > 0 ? "Write what you look for, or drop or paste a picture like it." : "",
      );
      return;
    }
    byId("matches").setAttribute("aria-busy", "true");
    try {
      const [asked, matches] = await Promise.all([
        this.#describe(source, question),
        source.nearest(question, this.#howMany, pending.signal),
      ]);
      if (pending.signal.aborted) return;
      this.#showAsked(asked);
      this.#showMatches(matches, source, `${matches.length} nearest of ${count(source.size, "picture")}`);
    } catch (error) {
      if (!isAbort(error)) this.#showMatches([], source, "");
      showError(error, { topic: "search", again: () => this.#run() });
    } finally {
      if (this.#pending === pending) byId("matches").removeAttribute("aria-busy");
    }
  }

  async #describe(source, { text, file, like }) {
    if (text !== undefined) return undefined;
    if (file)
      return { kind: "Pictures like", name: file.name || "your picture", url: URL.createObjectURL(file) };
    const found = await source.describe(like);
    return found && { kind: "Neighbors of", name: found.name, url: await found.picture() };
  }

  #showAsked(asked) {
    byId("asked").hidden = asked === undefined;
    const image = byId("asked-picture");
    if (image.src.startsWith("blob:") && image.dataset.owned === "yes") URL.revokeObjectURL(image.src);
    image.hidden = asked === undefined;
    if (asked === undefined) {
      image.removeAttribute("src");
      return;
    }
    image.dataset.owned = asked.kind === "Pictures like" ? "yes" : "no";
    image.src = asked.url;
    byId("asked-kind").textContent = asked.kind;
    byId("asked-name").textContent = asked.name;
  }

  #showMatches(matches, source, status) {
    byId("search-status").textContent = status;
    byId("matches").replaceChildren(...matches.map((match) => this.#tile(match)));
    byId("more").hidden = matches.length < this.#howMany || matches.length >= (source?.size ?? 0);
  }

  /** A link to the neighbors of a match. */
  #tile({ key, name, title, caption, similarity, picture }) {
    const image = element("img", { alt: "", decoding: "async", loading: "lazy" });
    const unseen = () => image.classList.add("unseen");
    image.addEventListener("error", unseen);
    picture().then((url) => {
      image.src = url;
    }, unseen);
    const words = caption || name;
    return element(
      "li",
      {},
      element(
        "a",
        {
          className: "tile",
          href: this.#address({ in: this.#source, like: key }),
          title: `${title}: show its neighbors`,
        },
        element("span", { className: "frame" }, image),
        element("span", { className: "caption", textContent: words }),
        element(
          "span",
          { className: "similarity" },
          element("span", { className: "hidden", textContent: "similarity " }),
          similarity.toFixed(3),
        ),
      ),
    );
  }
}
