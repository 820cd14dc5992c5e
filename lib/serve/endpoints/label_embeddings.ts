import { createHash } from "node:crypto";
import { notFinite } from "../../clip/finite";
import { meanDirection } from "../../clip/mean_direction";
import { type PromptTemplates, promptsFor } from "../../clip/templates";
import { inTurns } from "../../image/turns";
import type { Batcher } from "../batcher";

/** Labels that are kept, each with one embedding of a few kilobytes. */
const MOST_LABELS = 4096;
/** Labels looked up before the event loop may turn. */
const LABELS_PER_SLICE = 16;

const hashOf = (texts: readonly string[]) =>
  createHash("sha256").update(JSON.stringify(texts)).digest("base64");

/** The normalized mean of the embeddings of a label's prompts. → [E] */
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

/** What is known of the labels of one model, whose weights are taken not to change. */
class ModelLabels {
  /** The least recently used first. */
  readonly #known = new Map<string, Float32Array>();
  #scale: Promise<number> | undefined;

  constructor(private readonly batcher: Batcher) {}

  scale(): Promise<number> {
    this.#scale ??= this.#readScale().catch((error) => {
      this.#scale = undefined;
      throw error;
    });
    return this.#scale;
  }

  async direction(key: string, compute: () => Promise<Float32Array>): Promise<Float32Array> {
    const vector = this.#known.get(key) ?? (await compute());
    // Set again, as the most recently used.
    this.#known.delete(key);
    this.#known.set(key, vector);
    if (this.#known.size > MOST_LABELS) this.#known.delete(this.#known.keys().next().value!);
    return vector;
  }

  async #readScale(): Promise<number> {
    const { logitScale } = this.batcher.model.model;
    const { data } = await logitScale.read();
    const scale = Math.fround(Math.exp(data[0]!));
    if (Number.isFinite(scale)) return scale;
    throw notFinite(`e to the parameter ${logitScale.name} is ${scale}`, { parameter: logitScale.name });
  }
}

/** The embeddings of labels of recent requests, so that a changed list of labels costs only its new ones. */
export class LabelEmbeddings {
  readonly #models = new WeakMap<Batcher, ModelLabels>();

  /** e^logit_scale, the factor of cosines before the softmax. */
  logitScale(batcher: Batcher): Promise<number> {
    return this.#of(batcher).scale();
  }

  /** Per label the normalized mean of its prompts' embeddings. → [E] each */
  async directions(
    batcher: Batcher,
    labels: readonly string[],
    templates: PromptTemplates,
    signal: AbortSignal,
  ): Promise<Float32Array[]> {
    const known = this.#of(batcher);
    const prompts = hashOf(templates);
    const found: Promise<Float32Array>[] = [];
    await inTurns(labels.length, LABELS_PER_SLICE, (begin, end) => {
      for (const label of labels.slice(begin, end)) {
        const compute = () => directionOf(batcher, label, templates, signal);
        const direction = known.direction(hashOf([prompts, label]), compute);
        // Awaited below, after the last is submitted.
        direction.catch(() => undefined);
        found.push(direction);
      }
    });
    return Promise.all(found);
  }

  #of(batcher: Batcher): ModelLabels {
    const known = this.#models.get(batcher) ?? new ModelLabels(batcher);
    this.#models.set(batcher, known);
    return known;
  }
}
