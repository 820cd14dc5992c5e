import { z } from "zod";
import { listOf, text } from "../arguments";
import { readJson } from "./json_body";
import type { Route } from "./route";
import { servedModel } from "./served_model";

const body = z.strictObject({ model: text.optional(), input: z.union([text, listOf(text, "a list")]) });

export const embeddingsRoutes: readonly Route[] = [
  {
    method: "POST",
    path: "/v1/embeddings",
    async handle(call, context) {
      const { model, input } = await readJson(call, context, body);
      const { name, batcher } = servedModel(context, model);
      const texts = typeof input === "string" ? [input] : input;
      const vectors = await Promise.all(
        texts.map((text) => batcher.encodeText(text, { signal: call.signal })),
      );
      const data = vectors.map((vector, index) => ({
        object: "embedding",
        index,
        embedding: Array.from(vector),
      }));
      return Response.json({
        object: "list",
        data,
        model: name,
        usage: { prompt_tokens: 0, total_tokens: 0 },
      });
    },
  },
];
