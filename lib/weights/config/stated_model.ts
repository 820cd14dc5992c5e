import { join } from "node:path";
import { z } from "zod";
import { CONFIG_FILE, jsonBeside, OPEN_CLIP_CONFIG_FILE, pathBeside } from "./config_files";
import { invalidConfig } from "./config_fields";

/** Families of published models that are not supported: how their configurations name them, and what they have. */
const OTHER_FAMILIES: readonly (readonly [names: RegExp, family: string, parts: string])[] = [
  [
    /siglip|so400m_patch|giantopt/i,
    "SigLIP",
    "attention pooling, a text tower without causal mask, its own tokenizer",
  ],
  [/pe_core|pe_lang|pe_spatial|perception_encoder/i, "PE (Perception Encoder)", "attention pooling"],
  [/mobileclip|fastvit/i, "MobileCLIP", "a hybrid image tower"],
  [/vitamin/i, "ViTamin", "a hybrid image tower"],
  [
    /^(align|altclip|blip|blip-2|chinese_clip|clipseg|flava|groupvit|owlv2|owlvit|x_clip)$/,
    "transformers'",
    "other towers",
  ],
];

const names = z.object({
  model_type: z.string().optional(),
  architecture: z.string().optional(),
  model_cfg: z
    .object({
      vision_cfg: z.object({ timm_model_name: z.string().nullish() }).optional(),
      multimodal_cfg: z.unknown().optional(),
    })
    .optional(),
});

/**
 * Refuses a model of a family that is not supported, by its configuration in a folder. It can be asked before there are
 * weights.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` naming the family
 */
export async function checkStatedModel(folder: string): Promise<void> {
  const place = { path: join(folder, CONFIG_FILE) };
  for (const file of [OPEN_CLIP_CONFIG_FILE, CONFIG_FILE]) {
    const { data } = names.safeParse(await jsonBeside(place, file));
    const path = pathBeside(place, file);
    const { vision_cfg, multimodal_cfg } = data?.model_cfg ?? {};
    if (multimodal_cfg !== undefined) throw refusal(path, "CoCa", "multimodal_cfg", "a text decoder");
    for (const name of [vision_cfg?.timm_model_name, data?.model_type, data?.architecture]) {
      const other = OTHER_FAMILIES.find(([known]) => name != null && known.test(name));
      if (other) throw refusal(path, other[1], name!, other[2]);
    }
  }
}

function refusal(path: string, family: string, name: string, parts: string) {
  const message =
    `${path} describes a ${family} model (${name}), which is not supported because of ${parts}; EVA-CLIP's models and ` +
    "plain CLIP's are";
  return invalidConfig(message, { path, family, name });
}
