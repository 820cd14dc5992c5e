import type { Encoding } from "../endpoints/encodings";
import { HttpError } from "../http_error";
import type { ImageValue } from "./image_value";
import type { FormEntry } from "./form";
import type { CohereBody, ContentValue, EmbeddingsBody } from "./request_schemas";

/** A sample to embed, and where it is in the request. */
export type Input = { readonly param: string } & ({ readonly text: string } | { readonly image: ImageValue });

const DATA_IMAGE = /^data:image\//i;
export const IMAGE_FIELDS = /^(images?|files?)$/;
const TEXT_FIELDS = /^(input|texts?)$/;

function invalid(param: string, message: string): HttpError {
  return new HttpError(400, message, { code: "invalid_request", param });
}

/** The one text or image of a content. */
function contentInput(content: ContentValue, param: string): Input {
  if (typeof content === "string") return { param, text: content };
  const [part, ...others] = content;
  if (part === undefined || others.length > 0) {
    const found = `found ${content.length} parts`;
    throw invalid(param, `${param} must be one text or one image, which this model embeds apart; ${found}`);
  }
  if (part.type === "text") return { param, text: part.text };
  const { image_url: image } = part;
  return { param, image: typeof image === "object" && "url" in image ? image.url : (image as ImageValue) };
}

/** The samples of a request in the shapes of OpenAI, Infinity, Jina and vLLM. */
export function embeddingsInputs({ input, messages, modality }: EmbeddingsBody): Input[] {
  if ((input === undefined) === (messages === undefined))
    throw invalid("input", "give either input or messages");
  if (messages !== undefined) {
    const [message, ...others] = messages;
    if (message === undefined || others.length > 0)
      throw invalid("messages", `messages must be one message, found ${messages.length}`);
    return [contentInput(message.content, "messages[0].content")];
  }
  const isImage = (text: string) => modality === "image" || (modality === undefined && DATA_IMAGE.test(text));
  const items = typeof input === "string" ? [input] : input!;
  return items.map((item, i) => {
    const param = typeof input === "string" ? "input" : `input[${i}]`;
    if (typeof item !== "string") return { param, ...item };
    return isImage(item) ? { param, image: item } : { param, text: item };
  });
}

/** The samples of a request in Cohere's shape. */
export function cohereInputs({ texts, images, inputs }: CohereBody): Input[] {
  const given = [texts, images, inputs].filter((list) => list !== undefined);
  if (given.length !== 1) throw invalid("texts", "give one of texts, images and inputs");
  return [
    ...(texts ?? []).map((text, i) => ({ param: `texts[${i}]`, text })),
    ...(images ?? []).map((image, i) => ({ param: `images[${i}]`, image })),
    ...(inputs ?? []).map(({ content }, i) => contentInput(content, `inputs[${i}].content`)),
  ];
}

const NUMBERS = new Set(["dimensions", "top_k", "count", "id"]);
const FLAGS = new Set(["normalized", "truncate"]);

/** The value of a form's field that holds one. A number or flag that is none stays text, which the schema refuses. */
export function scalar([name, value]: FormEntry): [string, unknown] {
  if (NUMBERS.has(name) && /^\d+$/.test(String(value))) return [name, Number(value)];
  if (FLAGS.has(name) && /^(true|false)$/.test(String(value))) return [name, value === "true"];
  return [name, value];
}

/** Texts in `input` or `text`, images in `image` or `file`, in the order of the form. */
export function embeddingsFromForm(entries: readonly FormEntry[]): unknown {
  const isSample = ([name, value]: FormEntry) =>
    typeof value !== "string" || IMAGE_FIELDS.test(name) || TEXT_FIELDS.test(name);
  const input = entries
    .filter(isSample)
    .map(([name, value]) =>
      typeof value !== "string" || IMAGE_FIELDS.test(name) ? { image: value } : value,
    );
  const rest = entries.filter((entry) => !isSample(entry)).map(scalar);
  return { ...Object.fromEntries(rest), input };
}

const LISTS: Readonly<Record<string, string>> = { label: "labels", template: "templates" };

/** Images in `image` or `file`; each label in a field `labels`, each template in a field `templates`. */
export function classifyFromForm(entries: readonly FormEntry[]): unknown {
  const lists: Record<string, (string | Uint8Array)[]> = {};
  const rest: [string, unknown][] = [];
  for (const [name, value] of entries) {
    const isImage = typeof value !== "string" || IMAGE_FIELDS.test(name);
    const list = isImage ? "images" : (LISTS[name] ?? (/^(labels|templates)$/.test(name) ? name : undefined));
    if (list === undefined) rest.push(scalar([name, value]));
    else if (lists[list]) lists[list].push(value);
    else lists[list] = [value];
  }
  return { ...Object.fromEntries(rest), ...lists };
}

/** The encoding of a request that may name it twice. */
export function encodingOf({ encoding_format, embedding_type }: EmbeddingsBody): Encoding {
  if (encoding_format && embedding_type && encoding_format !== embedding_type)
    throw invalid("embedding_type", "encoding_format and embedding_type differ");
  return encoding_format ?? embedding_type ?? "float";
}
