import { z } from "zod";
import { checkSizes, visionTransformerFields } from "../config_schema";

/** A field of EVA's towers, accepted with the value that means that the part is absent. */
function absent(value: boolean | number | string) {
  return z.literal(value, { error: "needs an EVA image tower, named by eva_model_name" }).optional();
}

/** The fields of parts that a plain tower does not have. */
const evaFields = {
  drop_path_rate: absent(0),
  ls_init_value: absent(0),
  qkv_bias: absent(true),
  use_rms_norm: absent(false),
  postnorm: absent(false),
  subln: absent(false),
  naiveswiglu: absent(false),
  rope: absent(false),
  global_average_pool: absent(false),
  pool_type: absent("tok"),
  pt_hw_seq_len: z.unknown().optional(),
  intp_freq: z.unknown().optional(),
};

/** `vision_cfg` of OpenAI CLIP's vision transformer. */
export const clipTowerSchema = z
  .strictObject({ ...visionTransformerFields, ...evaFields })
  .superRefine(checkSizes)
  .transform((config) => {
    const own = Object.entries(config).filter(([field]) => !Object.hasOwn(evaFields, field));
    return Object.fromEntries(own) as Omit<typeof config, keyof typeof evaFields>;
  });

export type ClipTowerConfig = z.output<typeof clipTowerSchema>;
