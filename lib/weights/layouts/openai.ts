import { type Layout, textRules, unchanged } from "./layout";

const TEXT = ["token_embedding.weight", "positional_embedding", "ln_final.weight"];

/** OpenAI's CLIP and OpenCLIP's plain vision transformers, the text tower at the root or below `text.`. */
export const openai: Layout = {
  name: "openai",
  landmarks: {
    image: ["visual.class_embedding", "visual.positional_embedding", "visual.conv1.weight", "visual.proj"],
    texts: [TEXT, TEXT.map((name) => `text.${name}`)],
  },
  imageFamily: () => "clip",
  rules: (naming) => [...unchanged("visual", "logit_scale"), ...textRules(naming)],
};
