import { createHash } from "node:crypto";
import { notFinite } from "../clip/finite";
import { meanDirection } from "../clip/mean_direction";
import { type PromptTemplates, promptsFor } from "../clip/templates";
import { inTurns } from "../image/turns";
import type { Batcher } from "./batcher";
import type { ServedModel } from "./served_model";

/** Labels that are kept, each with one embedding of a few kilobytes. */
const MOST_LABELS = 4096;
/** Labels looked up before the event loop may turn. */
const LABELS_PER_SLICE = 16;

/**
 * The embeddings of labels of recent requests, so that a changed list of labels costs only its new ones. The weights of
 * served models are taken not to change.
 */
export class LabelEmbeddings {
  /** The least recently used first. */
  readonly #known = new Map<string, Float32Array>();
  readonly #scales = new Map<Batcher, Promise<number>>();

  /** e^logit_scale, the factor of cosines before the softmax. */
  logitScale({ batcher }: ServedModel): Promise<number> {
    const known = this.#scales.get(batcher);
    if (known) return known;
    const { logitScale } = batcher.model.model;
    const reading = logitScale.read().then(({ data }) => {
      const scale = Math.fround(Math.exp(data[0]!));
      if (Number.isFinite(scale)) return scale;
      throw notFinite(`e to the parameter ${logitScale.name} is ${scale}`, { parameter: logitScale.name });
    });
    this.#scales.set(batcher, reading);
    reading.catch(() => this.#scales.delete(batcher));
    return reading;
  }

  /** Per label the normalized mean of its prompts' embeddings. → [E] each */
  async directions(
    { name, batcher }: ServedModel,
    labels: readonly string[],
    templates: PromptTemplates,
    signal: AbortSignal,
  ): Promise<Float32Array[]> {
    const prompts = hashOf([name, ...templates]);
    const found: Promise<Float32Array>[] = [];
    await inTurns(labels.length, LABELS_PER_SLICE, (begin, end) => {
      for (let i = begin; i < end; i++) {
        found.push(this.#direction(batcher, hashOf([prompts, labels[i]!]), labels[i]!, templates, signal));
        // Awaited below, after the last is submitted.
        found[i]!.catch(() => undefined);
      }
    });
    return Promise.all(found);
  }

  async #direction(
    batcher: Batcher,
    key: string,
    label: string,
    templates: PromptTemplates,
    signal: AbortSignal,
  ): Promise<Float32Array> {
    const vector = this.#known.get(key) ?? (await directionOf(batcher, label, templates, signal));
    // Set again, as the most recently used.
    this.#known.delete(key);
    this.#known.set(key, vector);
    if (this.#known.size > MOST_LABELS) this.#known.delete(this.#known.keys().next().value!);
    return vector;
  }
}

const hashOf = (texts: readonly string[]) =>
  createHash("sha256").update(JSON.stringify(texts)).digest("base64");

async function directionOf(
  batcher: Batcher,
  label: string,
  templates: PromptTemplates,
  signal: AbortSignal,
): Promise<Float32Array> {
  const prompts = promptsFor(label, templates);
  const rows = await Promise.all(prompts.map((prompt) => batcher.encodeText(prompt, { signal })));
  return meanDirection(rows, label);
}
