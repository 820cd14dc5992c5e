import { imageTowers } from "../../models/image_towers";
import { huggingFaceBlocks, type NameRule } from "../../models/name_rules";
import type { Layout, LayoutName, TextNaming } from "./layout";

const TEXT_PARTS = ["positional_embedding", "text_projection", "token_embedding", "transformer", "ln_final"];

/** OpenAI's names, below `text.` or at the root. */
function openaiText({ text, storedText }: TextNaming): NameRule[] {
  return TEXT_PARTS.map((part) => ({ ours: `${text}${part}`, stored: `${storedText}${part}` }));
}

const HF = "text_model";

/** transformers' names. */
function huggingFaceText({ text }: TextNaming): NameRule[] {
  return [
    { ours: `${text}positional_embedding`, stored: `${HF}.embeddings.position_embedding.weight` },
    { ours: `${text}token_embedding`, stored: `${HF}.embeddings.token_embedding` },
    { ours: `${text}ln_final`, stored: `${HF}.final_layer_norm` },
    { ours: `${text}text_projection`, stored: "text_projection.weight", transpose: true },
    ...huggingFaceBlocks(text, HF),
  ];
}

/** SigLIP's models have a bias, too. */
const LOGITS = ["logit_scale", "logit_bias"];
const OPENAI_TEXT = ["token_embedding.weight", "positional_embedding", "ln_final.weight"];

/** In the order in which files are compared with them: `timm` extends the names of `eva_mim`. */
const published = [
  /** OpenCLIP: EVA image towers are timm's, below `visual.trunk`; plain towers have OpenAI's names. */
  {
    name: "open_clip",
    shared: LOGITS,
    text: { rules: openaiText },
    modelFile: "open_clip_model.safetensors",
  },
  /** EVA-CLIP: `visual.*`, and the text tower below `text.` or at the root (EVA-CLIP/rei, commit 5623d08). */
  { name: "eva_clip", shared: LOGITS, text: { rules: openaiText } },
  /** OpenAI's CLIP, and OpenCLIP's plain vision transformers. */
  {
    name: "openai",
    shared: LOGITS,
    text: {
      rules: openaiText,
      landmarks: [OPENAI_TEXT, OPENAI_TEXT.map((name) => `text.${name}`)],
    },
  },
  /** transformers' CLIPModel, and the EVA-CLIP models published in its manner (BAAI/EVA-CLIP-8B). */
  {
    name: "hugging_face",
    shared: ["logit_scale"],
    text: {
      rules: huggingFaceText,
      landmarks: [[`${HF}.embeddings.token_embedding.weight`, `${HF}.final_layer_norm.weight`]],
    },
  },
  /** An image tower as timm saves it alone. */
  { name: "timm" },
  /** EVA's image towers from masked-image modeling, with the head of that task (EVA-CLIP/rei/eva_clip/factory.py). */
  { name: "eva_mim", foreign: ["mask_token", "lm_head.weight", "lm_head.bias"] },
] as const satisfies readonly Layout[];

export const layoutNames: readonly LayoutName[] = Object.freeze(published.map(({ name }) => name));

/** Layouts of registered image towers, by name. */
const own = new Map<string, Layout>();

/** Every layout: those that registered image towers bring, whose text tower has OpenAI's names, then the published ones. */
export function layouts(): readonly Layout[] {
  for (const name of imageTowers().flatMap((tower) => Object.keys(tower.layouts))) {
    if (!layoutNames.includes(name) && !own.has(name))
      own.set(name, { name, shared: LOGITS, text: { rules: openaiText } });
  }
  return [...own.values(), ...published];
}
