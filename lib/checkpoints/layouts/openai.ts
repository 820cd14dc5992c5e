import { type Layout, textRules, unchanged } from "../layout";

/** OpenAI's CLIP and OpenCLIP's plain vision transformers, the text tower at the root or below `text.`. */
export const openai: Layout = {
  name: "openai",
  landmarks: {
    image: ["visual.class_embedding", "visual.positional_embedding", "visual.conv1.weight", "visual.proj"],
    text: ["token_embedding.weight", "positional_embedding", "ln_final.weight"],
  },
  imageFamily: () => "clip",
  rules: (naming) => [...unchanged("visual", "logit_scale"), ...textRules(naming)],
};
