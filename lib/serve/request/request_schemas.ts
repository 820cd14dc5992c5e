// What requests may hold. The same schemas check requests and are published as /openapi.json.
import { types } from "node:util";
import { z } from "zod";
import { flag, listOf, oneOf, positiveInteger, text } from "../../arguments";
import { promptTemplates } from "../../clip/templates";
import { ENCODINGS } from "../endpoints/encodings";
import type { ImageValue } from "./image_value";

const ignored = text.optional().describe("Accepted and ignored.");
const model = text.optional().describe("Name of the model; needed where there are several.");
const encoding = oneOf(...ENCODINGS);

export const imageValue = z
  .custom<ImageValue>((value) => typeof value === "string" || types.isUint8Array(value), {
    error: "an image: a data: URI or base64",
  })
  .meta({
    type: "string",
    description: "An image: a data: URI, base64, or an https URL of a host that the service allows.",
  });

const inputItem = z.union([text, z.strictObject({ text }), z.strictObject({ image: imageValue })], {
  error: 'text, {"text": …} or {"image": …}; token ids are not accepted',
});
const input = z.union([text, z.array(inputItem).min(1)], {
  error: "text, or a list of texts and images; token ids are not accepted",
});

const imageUrl = z.union([imageValue, z.strictObject({ url: imageValue, detail: ignored })], {
  error: 'an image, or {"url": …}',
});
const contentPart = z.discriminatedUnion(
  "type",
  [
    z.strictObject({ type: z.literal("text"), text }),
    z.strictObject({ type: z.literal("image_url"), image_url: imageUrl }),
  ],
  { error: "a part of type text or image_url" },
);
const content = z.union([text, z.array(contentPart)], { error: "text, or a list of parts" });

export const embeddingsBody = z.strictObject({
  model,
  input: input.optional().describe("One text or image, or a list of them."),
  messages: z
    .array(z.strictObject({ role: text, content }), { error: "a list of messages" })
    .optional()
    .describe("In place of input: one text or image in the shape of a chat (vLLM)."),
  modality: oneOf("text", "image")
    .optional()
    .describe(
      "What strings in input are (Infinity). Default text; a string that begins with data:image/ is an image.",
    ),
  encoding_format: encoding.optional().describe("Default float."),
  embedding_type: encoding.optional().describe("The same as encoding_format (Jina)."),
  dimensions: positiveInteger.optional().describe("A length that the model allows (Matryoshka)."),
  normalized: flag.optional().describe("Whether embeddings have unit length. Default true."),
  truncate: flag
    .optional()
    .describe("false refuses texts longer than the context. Default true: they are cut."),
  user: ignored,
  task: ignored,
  input_type: ignored,
});

export const cohereBody = z.strictObject({
  model,
  texts: listOf(text, "a list of texts").min(1).optional(),
  images: listOf(imageValue, "a list of images").min(1).optional(),
  inputs: listOf(z.strictObject({ content }), "a list of inputs").min(1).optional(),
  embedding_types: listOf(encoding, "a list of types").min(1).optional().describe('Default ["float"].'),
  output_dimension: positiveInteger.optional().describe("A length that the model allows (Matryoshka)."),
  truncate: oneOf("NONE", "END")
    .optional()
    .describe("NONE refuses texts longer than the context. Default END."),
  input_type: ignored,
});

/** The shape of text-embeddings-inference. */
export const embedBody = z.strictObject({
  model,
  inputs: z.union([text, listOf(text, "a list of texts").min(1)], { error: "a text or a list of texts" }),
  normalize: flag.optional().describe("Whether embeddings have unit length. Default true."),
  truncate: flag
    .optional()
    .describe("false refuses texts longer than the context. Default true: they are cut."),
  dimensions: positiveInteger.optional().describe("A length that the model allows (Matryoshka)."),
});

export const classifyBody = z.strictObject({
  model,
  image: imageValue.optional(),
  images: listOf(imageValue, "a list of images").min(1).optional().describe("In place of image: several."),
  labels: listOf(text, "a list of labels").min(1),
  templates: promptTemplates
    .optional()
    .describe("Prompts with {} in place of the label. Default a photo of a {}."),
  top_k: positiveInteger.optional().describe("How many labels to return, best first. Default all."),
});

export type EmbeddingsBody = z.output<typeof embeddingsBody>;
export type CohereBody = z.output<typeof cohereBody>;
export type ContentValue = z.output<typeof content>;
