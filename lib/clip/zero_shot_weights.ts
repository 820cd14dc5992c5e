import { throwIfAborted } from "../abortable";
import { describeValue } from "../arguments";
import { EvaClipError } from "../errors";
import { checkRows, type Encoder, type Rows, stackRows } from "./encoder";
import { checkEmbedding } from "./finite";
import { meanDirection } from "./mean_direction";
import { type PromptTemplates, promptsFor } from "./templates";

/** Maximum number of captions encoded at a time. */
const CAPTIONS_AT_ONCE = 256;
/** Maximum number of classes whose prompts are encoded at a time. */
const CLASSES_AT_ONCE = 8;

/**
 * Embeddings of captions, one row of E numbers per caption, encoded in parts.
 * @throws EvaClipError `ERR_EVACLIP_SHAPE` when the encoder returns anything else; `ERR_EVACLIP_NOT_FINITE`
 */
export async function encodeCaptions(
  encoder: Pick<Encoder, "embedDim" | "encodeText">,
  captions: readonly string[],
  signal?: AbortSignal,
): Promise<Float32Array[]> {
  const embeddings: Float32Array[] = [];
  for (let start = 0; start < captions.length; start += CAPTIONS_AT_ONCE) {
    throwIfAborted(signal);
    const some = captions.slice(start, start + CAPTIONS_AT_ONCE);
    const rows: unknown = await encoder.encodeText(some, signal ? { signal } : {});
    if (!Array.isArray(rows) || rows.length !== some.length) {
      const message = `the embeddings of ${some.length} captions must be a list of as many, found ${describeValue(rows)}`;
      throw new EvaClipError("ERR_EVACLIP_SHAPE", message, { expected: some.length });
    }
    for (const [i, caption] of some.entries()) {
      const name = describeValue(caption);
      const row: unknown = rows[i];
      checkRows(`the embedding of ${name}`, row, encoder.embedDim);
      checkEmbedding(row, undefined, start + i, () => name);
      embeddings.push(row);
    }
  }
  return embeddings;
}

/**
 * Zero-shot classifier weights: per class the normalized mean of its prompts' normalized embeddings
 * (Radford et al. 2021, section 3.1.4). → [classes, E]
 * @throws EvaClipError `ERR_EVACLIP_NOT_FINITE` naming a class whose mean has no direction
 */
export async function zeroShotWeights(
  encoder: Pick<Encoder, "embedDim" | "encodeText">,
  classes: readonly string[],
  templates: PromptTemplates,
  signal?: AbortSignal,
): Promise<Rows> {
  const weights: Float32Array[] = [];
  for (let start = 0; start < classes.length; start += CLASSES_AT_ONCE) {
    throwIfAborted(signal);
    const some = classes.slice(start, start + CLASSES_AT_ONCE);
    const prompts = some.flatMap((name) => promptsFor(name, templates));
    const embeddings = await encodeCaptions(encoder, prompts, signal);
    some.forEach((name, i) => {
      const own = embeddings.slice(i * templates.length, (i + 1) * templates.length);
      weights.push(meanDirection(own, name));
    });
  }
  return stackRows(weights, encoder.embedDim);
}
