import { z } from "zod";
import { checkSizes, rate, size, visionTransformerFields } from "../config_schema";

const evaFields = z.strictObject({
  ...visionTransformerFields,
  /** Any name; its presence identifies an EVA tower. */
  eva_model_name: z.string(),
  /** The rate of stochastic depth in the last block, growing linearly from 0 in the first. */
  drop_path_rate: rate.nullable().default(0),
  /** The initial value of the layer scales; without it there are none. */
  ls_init_value: z.number().nullable().default(null),
  /** Whether queries and values, and the head, have a bias. */
  qkv_bias: z.boolean().default(true),
  /** RMS norms instead of layer norms. */
  use_rms_norm: z.boolean().default(false),
  postnorm: z.boolean().default(false),
  subln: z.boolean().default(false),
  naiveswiglu: z.boolean().default(false),
  rope: z.boolean().default(false),
  /** The grid that rotary positions are measured on. */
  pt_hw_seq_len: size.default(16),
  /** Whether a grid of another size is scaled to it. */
  intp_freq: z.boolean().default(false),
  /** Pool the mean of all tokens, then norm (EVA's own alternative to the class token). */
  global_average_pool: z.boolean().default(false),
  /** `avg`: pool the mean of the patches, without the class token, then norm. */
  pool_type: z.enum(["tok", "avg"]).default("tok"),
});

/** `vision_cfg` of EVA's image towers. */
export const evaTowerSchema = evaFields.superRefine((config, context) => {
  checkSizes(config, context);
  const problem = (field: string, message: string) =>
    context.addIssue({ code: "custom", path: [field], message });
  const { rope, head_width, use_rms_norm, subln, global_average_pool, pool_type } = config;
  if (rope && head_width % 4 !== 0) problem("rope", "needs a head_width that is a multiple of 4");
  if (use_rms_norm && subln) problem("use_rms_norm", "excludes subln, whose inner norms are layer norms");
  if (global_average_pool && pool_type === "avg") problem("global_average_pool", "excludes pool_type avg");
});

export type EvaTowerConfig = z.output<typeof evaTowerSchema>;
export type EvaTowerInput = z.input<typeof evaTowerSchema>;

/** Whether the head reads the mean of the tokens instead of the class token. */
export function poolsMean({
  global_average_pool,
  pool_type,
}: Pick<EvaTowerConfig, "global_average_pool" | "pool_type">): boolean {
  return global_average_pool || pool_type === "avg";
}
