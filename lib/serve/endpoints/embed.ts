import { inTurns } from "../../image/turns";
import { HttpError } from "../http_error";
import type { ServiceContext } from "../context";
import { truncated } from "./encodings";
import { imageBytes, naming } from "../request/image_value";
import type { Input } from "../request/inputs";
import type { Call } from "../route";
import type { ServedModel } from "../served_model";

export interface EmbedOptions {
  readonly normalize?: boolean | undefined;
  /** Default the model's. */
  readonly dimensions?: number | undefined;
  /** The field that states `dimensions`. */
  readonly dimensionsField?: string;
  /** Whether texts longer than the context are cut; otherwise they are refused. Default true. */
  readonly truncate?: boolean | undefined;
}

export interface Embedded {
  /** In the order of the inputs. [E] or [dimensions] */
  readonly vectors: Float32Array[];
  /** Of all texts, start and end of text included; images have none. */
  readonly tokens: number;
}

/** Texts tokenized, or samples submitted, before the event loop may turn. */
const PER_SLICE = 16;

function checkCounts(inputs: readonly Input[], { limits }: ServiceContext): void {
  const images = inputs.filter((input) => "image" in input).length;
  for (const [found, most, what] of [
    [images, limits.maxImages, "images"],
    [inputs.length - images, limits.maxTexts, "texts"],
  ] as const) {
    if (found <= most) continue;
    const message = `a request may have at most ${most} ${what}, found ${found}`;
    const param = inputs[0]!.param.replace(/\[.*$/, "");
    throw new HttpError(400, message, { code: "too_many_inputs", param });
  }
}

function checkDimensions(
  { name, batcher }: ServedModel,
  dimensions: number | undefined,
  param: string,
): number {
  const { config, embedDim } = batcher.model;
  const allowed = [...new Set([...(config.matryoshka_dimensions ?? []), embedDim])];
  if (dimensions === undefined || allowed.includes(dimensions)) return dimensions ?? embedDim;
  const message = `${param} must be ${allowed.join(" or ")} for the model ${name}, found ${dimensions}`;
  throw new HttpError(400, message, { code: "unsupported_dimensions", param });
}

/** The number of tokens of the texts. @throws HttpError 400 for a text that is too long, unless it may be cut */
export async function countTokens(
  inputs: readonly Input[],
  { batcher: { model } }: ServedModel,
  truncate = true,
): Promise<number> {
  const texts = inputs.filter((input) => "text" in input);
  const longest = model.contextLength;
  let tokens = 0;
  await inTurns(texts.length, PER_SLICE, (begin, end) => {
    for (const { text, param } of texts.slice(begin, end)) {
      const found = model.tokenizer.encode(text, truncate ? longest : longest + 1).length;
      if (found > longest) {
        const message = `${param}: the text is longer than the context of ${longest} tokens`;
        throw new HttpError(400, message, { code: "context_length_exceeded", param });
      }
      tokens += found;
    }
  });
  return tokens;
}

/** Embeds each input as a call of its own: they share batches with those of other requests. */
async function encodeEach(
  inputs: readonly Input[],
  { batcher }: ServedModel,
  normalize: boolean,
  call: Call,
  context: ServiceContext,
): Promise<Float32Array[]> {
  const options = { signal: call.signal, normalize };
  const files = await Promise.all(
    inputs.map((input) =>
      "image" in input ? imageBytes(input.image, input.param, call, context) : undefined,
    ),
  );
  const encoding: Promise<Float32Array>[] = [];
  const encode = (input: Input, file: Uint8Array | undefined) =>
    file
      ? naming(input.param, batcher.encodeOwnBytes(file, options))
      : batcher.encodeText((input as { text: string }).text, options);
  await inTurns(inputs.length, PER_SLICE, (begin, end) => {
    for (let i = begin; i < end; i++) {
      encoding.push(encode(inputs[i]!, files[i]));
      // Awaited below, after the last is submitted.
      encoding[i]!.catch(() => undefined);
    }
  });
  return Promise.all(encoding);
}

/**
 * Embeddings of the inputs of a request.
 * @throws HttpError 400 naming the input at fault; EvaClipError as `Batcher`
 */
export async function embedInputs(
  inputs: readonly Input[],
  served: ServedModel,
  options: EmbedOptions,
  call: Call,
  context: ServiceContext,
): Promise<Embedded> {
  const { normalize = true, truncate, dimensionsField = "dimensions" } = options;
  checkCounts(inputs, context);
  const dimensions = checkDimensions(served, options.dimensions, dimensionsField);
  const tokens = await countTokens(inputs, served, truncate);
  const vectors = await encodeEach(inputs, served, normalize, call, context);
  return { vectors: vectors.map((vector) => truncated(vector, dimensions, normalize)), tokens };
}
