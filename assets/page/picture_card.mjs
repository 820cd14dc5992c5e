// A picture and its probabilities.
import { isAbort } from "./api.mjs";
import { count, element } from "./elements.mjs";
import { describeError } from "./notices.mjs";

const SHOWN = 6;

const percent = (share) => {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  return `${(100 * share).toFixed(1)} %`;
};

/** `element` is its list item; `signal` is aborted when it is removed. */
export class PictureCard {
  vector;
  isWaiting = true;
  /** The best label, in words. */
  best;
  #url;
  #life = new AbortController();
  #bars = element("ol", { className: "bars" });
  #message = element("p", { className: "card-message" });
  #all = element("button", { type: "button", className: "link", hidden: true });
  #isWhole = false;
  #rows = new Map();
  #results = [];
  #again;

  constructor(file, { remove, again }) {
    this.file = file;
    this.#again = again;
    this.#url = URL.createObjectURL(file);
    const name = file.name || "pasted picture";
    const image = element("img", { src: this.#url, alt: "", decoding: "async" });
    image.addEventListener("error", () => image.classList.add("unseen"));
    this.removeButton = element("button", {
      type: "button",
      className: "icon-button cross",
      "aria-label": `Remove ${name}`,
      onclick: remove,
    });
    this.#all.addEventListener("click", () => {
      this.#isWhole = !this.#isWhole;
      this.#draw();
    });
    this.#bars.setAttribute("aria-label", `Probabilities for ${name}`);
    this.element = element(
      "li",
      { className: "card" },
      element("div", { className: "frame" }, image),
      element(
        "div",
        { className: "card-body" },
        element("h2", { textContent: name, title: name }),
        this.#message,
        this.#bars,
        this.#all,
      ),
      this.removeButton,
    );
  }

  get signal() {
    return this.#life.signal;
  }

  /** Shows that its embedding is awaited. */
  wait() {
    this.isWaiting = true;
    this.vector = undefined;
    this.best = undefined;
    this.#message.replaceChildren("Reading…");
    this.#message.className = "card-message";
    this.element.classList.add("waiting");
  }

  fail(error) {
    if (isAbort(error)) return;
    this.#settle();
    this.#message.classList.add("wrong");
    this.#bars.replaceChildren();
    this.#rows.clear();
    const retry = element("button", {
      type: "button",
      className: "link",
      textContent: "Try again",
      onclick: this.#again,
    });
    this.#message.replaceChildren(describeError(error), " ", retry);
  }

  /** Shows `{ label, probability }`, best first. */
  show(results) {
    this.#settle();
    this.#results = results;
    const [first] = results;
    this.best = first && `${first.label}, ${percent(first.probability)}`;
    this.#message.replaceChildren(...(first ? [] : ["Write a label to see its probability."]));
    this.#draw();
  }

  dispose() {
    this.#life.abort();
    this.element.remove();
    URL.revokeObjectURL(this.#url);
  }

  #settle() {
    this.isWaiting = false;
    this.#message.className = "card-message";
    this.element.classList.remove("waiting");
  }

  /** Rows are kept by label, so that a bar moves from its old length to the new one. */
  #draw() {
    const shown = this.#isWhole ? this.#results : this.#results.slice(0, SHOWN);
    const rows = new Map();
    shown.forEach(({ label, probability }, rank) => {
      const row = this.#rows.get(label) ?? newRow(label);
      row.value.textContent = percent(probability);
      row.item.classList.toggle("best", rank === 0);
      rows.set(label, row);
    });
    this.#rows = rows;
    this.#bars.replaceChildren(...[...rows.values()].map(({ item }) => item));
    // The old lengths must have been laid out once, or the browser sees nothing to animate.
    void this.#bars.offsetWidth;
    for (const { label, probability } of shown)
      rows.get(label).bar.style.setProperty("--share", probability.toFixed(4));
    this.#all.hidden = this.#results.length <= SHOWN;
    this.#all.textContent = this.#isWhole
      ? `Show the best ${SHOWN}`
      : `Show all ${count(this.#results.length, "label")}`;
    this.#all.setAttribute("aria-expanded", String(this.#isWhole));
  }
}

function newRow(label) {
  const value = element("span", { className: "value" });
  const bar = element(
    "span",
    { className: "track", "aria-hidden": "true" },
    element("span", { className: "fill" }),
  );
  const item = element(
    "li",
    {},
    element("span", { className: "name", textContent: label, title: label }),
    value,
    bar,
  );
  return { item, value, bar };
}
