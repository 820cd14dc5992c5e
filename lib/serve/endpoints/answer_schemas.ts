// What the endpoints answer, published as /openapi.json.
import { z } from "zod";
import { ENCODINGS } from "./encodings";

const usage = z.object({ prompt_tokens: z.int(), total_tokens: z.int() });
const numbers = z.array(z.number());
const embedding = z
  .union([numbers, z.string()])
  .describe("Numbers; for base64 text, which holds little-endian f32; for binary and ubinary packed bits.");

export const errorAnswer = z.object({
  error: z.object({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable().describe("The field of the request that is at fault."),
    code: z.string().nullable().describe("For programs."),
  }),
});

export const embeddingsAnswer = z.object({
  object: z.literal("list"),
  data: z.array(z.object({ object: z.literal("embedding"), index: z.int(), embedding })),
  model: z.string(),
  usage,
});

export const cohereAnswer = z.object({
  id: z.string(),
  embeddings: z.object({
    float: z.array(numbers).optional(),
    base64: z.array(z.string()).optional(),
    binary: z.array(z.array(z.int())).optional(),
    ubinary: z.array(z.array(z.int())).optional(),
  }),
  meta: z.object({
    api_version: z.object({ version: z.string() }),
    billed_units: z.object({ input_tokens: z.int(), images: z.int() }),
  }),
  response_type: z.literal("embeddings_by_type"),
});

export const embedAnswer = z.array(numbers);

export const classifyAnswer = z.object({
  object: z.literal("list"),
  data: z.array(
    z.object({
      object: z.literal("classification"),
      index: z.int(),
      labels: z
        .array(
          z.object({
            label: z.string(),
            probability: z.number().describe("Softmax over all labels of logit_scale × similarity."),
            similarity: z.number().describe("Cosine of the embeddings of image and label."),
          }),
        )
        .describe("Best first."),
    }),
  ),
  model: z.string(),
  usage,
});

export const modelAnswer = z.object({
  id: z.string(),
  object: z.literal("model"),
  created: z.int(),
  owned_by: z.string(),
  capabilities: z.array(z.string()),
  embed_dim: z.int(),
  dimensions: z.array(z.int()).nullable().describe("Lengths to which embeddings may be cut (Matryoshka)."),
  encodings: z.array(z.enum(ENCODINGS)),
  image_size: z.int().describe("Pixels per side."),
  context_length: z.int().describe("Tokens, start and end of text included."),
  logit_scale: z.number().describe("The factor of cosines before the softmax of a classification."),
  precision: z.string(),
  device: z.string(),
  fallback_reason: z.string().nullable().describe("Why the device is not a GPU."),
  queued: z.int().describe("Samples that wait for a batch."),
  limits: z.object({
    max_body_bytes: z.int(),
    max_pixels: z.int(),
    max_images: z.int(),
    max_texts: z.int(),
    timeout_ms: z.int(),
    max_batch: z.int(),
    max_queue: z.int(),
  }),
});

export const modelsAnswer = z.object({ object: z.literal("list"), data: z.array(modelAnswer) });

export const statusAnswer = z.object({ status: z.string() });

const entry = z.object({
  id: z.int(),
  source: z.string().describe("Path of the image in the index's folder, or shard.tar#key."),
  caption: z.string().nullable(),
  metadata: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  image: z.string().describe("Path of a small copy of the image."),
});
const indexModel = z.string().nullable().describe("The served model that embedded the index.");

export const entryAnswer = entry.extend({ object: z.literal("entry") });

export const searchAnswer = z.object({
  object: z.literal("list"),
  data: z.array(entry.extend({ object: z.literal("match"), similarity: z.number() })),
  model: indexModel,
});

export const indexAnswer = z.object({
  object: z.literal("index"),
  size: z.int().describe("Number of entries."),
  dimensions: z.int().describe("Length of the vectors."),
  model: indexModel,
});
