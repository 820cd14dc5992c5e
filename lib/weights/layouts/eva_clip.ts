import { type Layout, textRules, unchanged } from "./layout";

/** EVA-CLIP's own checkpoints: `visual.*`, `text.*` or the text tower at the root (EVA-CLIP/rei, commit 5623d08). */
export const evaClip: Layout = {
  name: "eva_clip",
  landmarks: { image: ["visual.cls_token", "visual.pos_embed", "visual.blocks.0.attn.proj.weight"] },
  imageFamily: () => "eva",
  rules: (naming) => [...unchanged("visual", "logit_scale"), ...textRules(naming)],
};
