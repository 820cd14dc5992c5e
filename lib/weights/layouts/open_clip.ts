import { type Layout, textRules, unchanged } from "./layout";
import { timmTower } from "./timm";

/** OpenCLIP's: EVA image towers are timm's, below `visual.trunk`; plain ones and text towers keep OpenAI's names. */
export const openClip: Layout = {
  name: "open_clip",
  landmarks: {
    image: [
      "visual.trunk.cls_token",
      "visual.trunk.pos_embed",
      "visual.trunk.patch_embed.proj.weight",
      "visual.trunk.blocks.0.attn.proj.weight",
    ],
  },
  imageFamily: () => "eva",
  rules: (naming) => [
    ...(naming.image === "eva" ? timmTower("visual.trunk", naming) : unchanged("visual")),
    ...unchanged("logit_scale"),
    ...textRules(naming),
  ],
};
