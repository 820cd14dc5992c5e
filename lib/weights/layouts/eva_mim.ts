import type { Layout } from "./layout";

/**
 * EVA's image towers from masked-image modelling: EVA-CLIP's names of the image tower without `visual.`, and the head of
 * that task (EVA-CLIP/rei/eva_clip/factory.py, commit 5623d08).
 */
export const evaMim: Layout = {
  name: "eva_mim",
  landmarks: { image: ["cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.proj.weight"] },
  imageFamily: () => "eva",
  rules: () => [{ ours: "visual", stored: "" }],
  foreign: ["mask_token", "lm_head.weight", "lm_head.bias"],
};
