/**
 * Tensors not loaded into a tower by default, as in every published recipe of EVA-CLIP (EVA-CLIP/rei/README.md): the head of
 * the previous task, the projection to the shared space, the logit scale and the logit bias.
 */
export const TOWER_SKIP_LIST: readonly string[] = [
  "head.weight",
  "head.bias",
  "lm_head.weight",
  "lm_head.bias",
  "mask_token",
  "text_projection",
  "logit_scale",
  "logit_bias",
];
