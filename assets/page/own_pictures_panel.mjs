// Adding the visitor's pictures to those that can be searched, with progress.
import { byId, count, element } from "./elements.mjs";
import { chooseWith } from "./intake.mjs";

const MOST_PROBLEMS = 100;

export class OwnPicturesPanel {
  #own;
  #changed;
  #stop;

  /** @param changed called when other pictures can be searched than before */
  constructor(own, changed) {
    this.#own = own;
    this.#changed = changed;
    chooseWith(byId("own-choose"), byId("own-files"), (pictures) => this.add(pictures));
    chooseWith(byId("own-folder-choose"), byId("own-folder"), (pictures) => this.add(pictures));
    byId("own-stop").addEventListener("click", () => this.#stop?.abort());
    byId("own-clear").addEventListener("click", () => {
      this.#stop?.abort();
      this.#own.clear();
      this.show();
      this.#changed();
      byId("own-folder-choose").focus();
    });
  }

  show() {
    const { size } = this.#own;
    byId("own-size").textContent = size === 0 ? "none yet" : count(size, "picture");
    byId("own-clear").hidden = size === 0;
    byId("own-zone").classList.toggle("filled", size > 0);
  }

  async add(pictures) {
    if (pictures.length === 0) return;
    this.#stop?.abort();
    const stop = new AbortController();
    this.#stop = stop;
    this.#showProblems([]);
    byId("own-progress").hidden = false;
    this.#progress(0, pictures.length);
    const failed = await this.#own.add(
      pictures,
      (done) => this.#progress(done, pictures.length),
      stop.signal,
    );
    if (this.#stop !== stop) return;
    const hadFocus = document.activeElement === byId("own-stop");
    byId("own-progress").hidden = true;
    if (hadFocus) byId("own-choose").focus();
    this.#showProblems(failed);
    this.show();
    this.#changed();
  }

  #progress(done, total) {
    byId("own-bar").value = done / total;
    byId("own-progress-text").textContent =
      `Embedding ${done.toLocaleString("en-US")} of ${count(total, "picture")}`;
  }

  #showProblems(failed) {
    const box = byId("own-problems");
    box.hidden = failed.length === 0;
    box.querySelector("summary").textContent = `${count(failed.length, "picture")} could not be read`;
    const lines = failed.slice(0, MOST_PROBLEMS).map(({ path, reason }) => `${path}: ${reason}`);
    if (failed.length > MOST_PROBLEMS) lines.push(`and ${failed.length - MOST_PROBLEMS} more`);
    box.querySelector("ul").replaceChildren(...lines.map((textContent) => element("li", { textContent })));
  }
}
