// The view that classifies pictures with the visitor's labels.
import { byId, count, debounced, element } from "./elements.mjs";
import { chooseWith } from "./intake.mjs";
import { clearError, showError } from "./notices.mjs";
import { PictureCard } from "./picture_card.mjs";
import { CHOICES, fill } from "./templates.mjs";
import { dot, meanDirection, softmax } from "./vectors.mjs";

const SAVED = "eva-clip-labels";
const EXAMPLES = ["dog", "cat", "bird", "bicycle", "house"];
const TYPING_PAUSE_MS = 250;

/** Keeps the label embeddings of the model in use, and a card per picture. */
export class ClassifyView {
  #model;
  #embedder;
  /** Labels and their embeddings: what the cards show. */
  #classes;
  #cards = [];
  #pending;

  constructor() {
    const labels = byId("labels");
    labels.value = sessionStorage.getItem(SAVED) ?? EXAMPLES.join("\n");
    const later = debounced(TYPING_PAUSE_MS, () => this.update());
    const soon = () => {
      this.#pending?.abort();
      this.#pending = undefined;
      byId("cards").setAttribute("aria-busy", "true");
      later();
    };
    labels.addEventListener("input", () => {
      sessionStorage.setItem(SAVED, labels.value);
      this.#showCount();
      soon();
    });
    byId("template").append(
      ...CHOICES.map(({ value, name }) => element("option", { value, textContent: name })),
    );
    byId("template").addEventListener("change", () => {
      byId("own-template-field").hidden = byId("template").value !== "own";
      this.update();
    });
    byId("own-template").addEventListener("input", soon);
    chooseWith(byId("classify-choose"), byId("classify-files"), (pictures) => this.add(pictures));
    byId("classify-more").addEventListener("click", () => byId("classify-files").click());
    byId("classify-clear").addEventListener("click", () => this.#clear());
    this.#showCount();
  }

  /** Takes the model of all that follows. */
  use(model, embedder) {
    this.#model = model;
    this.#embedder = embedder;
    this.#classes = undefined;
    for (const card of this.#cards) this.#embed(card);
    this.update();
  }

  /** Adds pictures `{ file }` and classifies them. */
  add(pictures) {
    for (const { file } of pictures) {
      const card = new PictureCard(file, {
        remove: () => this.#remove(card),
        again: () => this.#embed(card),
      });
      this.#cards.push(card);
      byId("cards").append(card.element);
      if (this.#embedder) this.#embed(card);
    }
    this.#arrange();
    // On a narrow screen they are below the labels.
    byId("classify-toolbar").scrollIntoView({ block: "nearest" });
  }

  /** Embeds the labels that are new, then shows every picture's probabilities. An earlier update is aborted. */
  async update() {
    if (!this.#embedder) return;
    this.#pending?.abort();
    const pending = new AbortController();
    this.#pending = pending;
    byId("cards").setAttribute("aria-busy", "true");
    try {
      const classes = await this.#embedClasses(pending.signal);
      if (pending.signal.aborted) return;
      this.#classes = classes;
      clearError("labels");
      this.#showAll();
    } catch (error) {
      showError(error, { topic: "labels", again: () => this.update() });
    } finally {
      if (this.#pending === pending) byId("cards").removeAttribute("aria-busy");
    }
  }

  #labels() {
    const lines = byId("labels")
      .value.split("\n")
      .map((line) => line.trim());
    return [...new Set(lines.filter((line) => line !== ""))];
  }

  #templates() {
    const { templates } = CHOICES.find(({ value }) => value === byId("template").value);
    const own = byId("own-template");
    own.setCustomValidity(own.value.includes("{}") ? "" : "The prompt needs {} where the label goes");
    byId("own-template-hint").classList.toggle("wrong", !own.validity.valid);
    own.setAttribute("aria-invalid", String(!own.validity.valid));
    return templates ?? (own.validity.valid ? [own.value] : ["{}"]);
  }

  async #embedClasses(signal) {
    const labels = this.#labels();
    const templates = this.#templates();
    const vectors = await this.#embedder.texts(
      labels.flatMap((label) => fill(templates, label)),
      signal,
    );
    return labels.map((label, i) => ({
      label,
      vector: meanDirection(vectors.slice(i * templates.length, (i + 1) * templates.length)),
    }));
  }

  async #embed(card) {
    const embedder = this.#embedder;
    card.wait();
    try {
      const vector = await embedder.picture(card.file, card.signal);
      if (embedder !== this.#embedder) return;
      card.vector = vector;
      this.#show(card);
    } catch (error) {
      card.fail(error);
    }
    this.#tell();
  }

  #show(card) {
    if (!this.#classes || !card.vector) return;
    const similarities = this.#classes.map(({ vector }) => dot(card.vector, vector));
    const probabilities = softmax(similarities.map((similarity) => similarity * this.#model.logit_scale));
    const results = this.#classes.map(({ label }, i) => ({ label, probability: probabilities[i] }));
    card.show(results.sort((a, b) => b.probability - a.probability));
  }

  #showAll() {
    for (const card of this.#cards) this.#show(card);
    this.#tell();
  }

  #remove(card) {
    const place = this.#cards.indexOf(card);
    this.#cards.splice(place, 1);
    card.dispose();
    this.#arrange();
    // The button that had the focus is gone.
    const next = this.#cards[Math.min(place, this.#cards.length - 1)];
    (next?.removeButton ?? byId("classify-choose")).focus();
  }

  #clear() {
    for (const card of this.#cards) card.dispose();
    this.#cards = [];
    this.#arrange();
    byId("classify-choose").focus();
  }

  #arrange() {
    const isEmpty = this.#cards.length === 0;
    byId("classify-zone").hidden = !isEmpty;
    byId("classify-toolbar").hidden = isEmpty;
    byId("cards").classList.toggle("single", this.#cards.length === 1);
    this.#tell();
  }

  #showCount() {
    byId("label-count").textContent = this.#labels().length || "none";
  }

  /** One short message for all cards: a live region of every bar would never be quiet. */
  #tell() {
    const waiting = this.#cards.filter((card) => card.isWaiting).length;
    const [first] = this.#cards;
    const alone = this.#cards.length === 1 && first.best ? `: ${first.best}` : "";
    byId("classify-status").textContent =
      waiting > 0
        ? `Reading ${count(waiting, "picture")}…`
        : `${count(this.#cards.length, "picture")}${alone}`;
  }
}
