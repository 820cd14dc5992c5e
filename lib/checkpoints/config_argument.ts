import { z } from "zod";

/** A name, or JSON that `parseClipConfig` judges. */
export const configSource = z.union([z.string().min(1), z.looseObject({})], {
  error: "a published model's name or a configuration",
});
