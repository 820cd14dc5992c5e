import { z } from "zod";
import { flag, options } from "../../arguments";
import type { Preprocessing } from "../../image/preprocessing";
import type { TensorSource } from "../../io/tensor_source";
import type { ConfigFields } from "./config_fields";
import type { Layout } from "../layouts/layout";
import { layouts } from "../layouts/all_layouts";
import type { AnyImageTower } from "../../models/image_tower_descriptor";
import { imageTowers } from "../../models/image_towers";
import type { StoredShapes } from "./shape_facts";

/** Copied deeply: the configuration is read after the file was opened. */
const object = z.looseObject({}).transform((json) => structuredClone(json));

/** A name, or JSON that `parseClipConfig` judges. */
export const configSource = z.union([z.string().min(1), object], {
  error: "a published model's name or a configuration",
});
export const configFields = z.custom<ConfigFields>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  { error: "fields of a configuration" },
);

/** Judged field by field by `parsePreprocessing`, after what files state has been added. */
export const preprocessingArgument = z
  .custom<Partial<Preprocessing>>(
    (value) => typeof value === "object" && value !== null && !Array.isArray(value),
    { error: "fields of a preprocessing, such as CLIP_PREPROCESSING" },
  )
  .transform((json) => structuredClone(json));

export const statementFields = {
  config: configSource.optional(),
  quickGelu: flag.optional(),
  preprocessing: preprocessingArgument.optional(),
};
export const configStatement = options(statementFields);

/** Checked by their methods: another copy of this package may have made them. */
export const tensorMap = z.custom<StoredShapes>(
  (value) =>
    typeof (value as StoredShapes | null)?.get === "function" &&
    typeof (value as StoredShapes).keys === "function",
  { error: "a map from names to tensors" },
);
/** The result of `detectLayout`. */
export const storedLayout = z.looseObject(
  {
    layout: z.custom<Layout>((value) => layouts().some((known) => known === value), {
      error: "a known layout",
    }),
    imageTower: z
      .custom<AnyImageTower>((value) => imageTowers().some((known) => known === value), {
        error: "a registered image tower",
      })
      .optional(),
    storedText: z.enum(["", "text."], { error: '"" or "text."' }),
  },
  { error: "a result of detectLayout" },
);
export const tensorSource = z.custom<TensorSource>(
  (value) =>
    tensorMap.safeParse((value as TensorSource | null)?.tensors).success &&
    typeof (value as TensorSource).path === "string",
  { error: "an open file of weights" },
);
