import type { ClipConfigInput } from "./clip_config";
import { evaClipConfigs } from "./eva_clip_configs";
import { openClipConfigs } from "./open_clip_configs";
import { namesOfWeights, type PublishedWeights, publishedWeights } from "./published_weights";

const configs = { ...evaClipConfigs, ...openClipConfigs };

export type ModelName = keyof typeof configs;

/** A measured accuracy, and who measured which weights. */
export interface PublishedAccuracy {
  /** Zero-shot top-1 on ImageNet-1K, in percent. */
  readonly top1: number;
  readonly weights: string;
  readonly source: string;
}

export interface PublishedModel {
  readonly name: ModelName;
  /** Other names of the architecture and of the weights published for it. */
  readonly aliases: readonly string[];
  readonly config: ClipConfigInput;
  /** Its weights on the hub; none for a model that was described, but not published. */
  readonly weights: readonly PublishedWeights[];
  readonly zeroShot?: PublishedAccuracy;
}

const OPEN_CLIP = "open_clip docs/openclip_results.csv";
const EVA_CLIP_18B = "EVA-CLIP-18B (arXiv:2402.04252), table 10";

const measured = (source: string) => (weights: string, top1: number) => ({ top1, weights, source });
const byOpenClip = measured(OPEN_CLIP);
const byAuthors = measured(EVA_CLIP_18B);

/** Names and results, in the order in which models are listed. Each result is the best one of those published. */
const facts: Record<ModelName, Partial<Pick<PublishedModel, "aliases" | "zeroShot">>> = {
  "EVA01-CLIP-B-16": {},
  "EVA01-CLIP-g-14": { aliases: ["EVA01-g-14"], zeroShot: byOpenClip("laion400m_s11b_b41k", 78.52) },
  "EVA01-CLIP-g-14-plus": {
    aliases: ["EVA01-g-14-plus"],
    zeroShot: byOpenClip("merged2b_s11b_b114k", 79.33),
  },
  "EVA02-CLIP-B-16": {
    aliases: ["EVA02-B-16", "eva02_base_patch16_clip_224"],
    zeroShot: byOpenClip("merged2b_s8b_b131k", 74.72),
  },
  "EVA02-CLIP-L-14": {
    aliases: ["EVA02-L-14", "eva02_large_patch14_clip_224"],
    zeroShot: byOpenClip("merged2b_s4b_b131k", 79.77),
  },
  "EVA02-CLIP-L-14-336": {
    aliases: ["EVA02-L-14-336", "eva02_large_patch14_clip_336"],
    zeroShot: byOpenClip("merged2b_s6b_b61k", 80.39),
  },
  "EVA02-CLIP-bigE-14": { aliases: ["EVA02-E-14"], zeroShot: byOpenClip("laion2b_s4b_b115k", 81.96) },
  "EVA02-CLIP-bigE-14-plus": {
    aliases: ["EVA02-E-14-plus"],
    zeroShot: byOpenClip("laion2b_s9b_b144k", 82.01),
  },
  "EVA-CLIP-8B": { zeroShot: byAuthors("EVA_CLIP_8B_psz14_s9B", 83.5) },
  "EVA-CLIP-8B-plus": {
    aliases: ["EVA-CLIP-8B-448"],
    zeroShot: byAuthors("EVA_CLIP_8B_psz14_plus_s0.6B", 83.8),
  },
  "EVA-CLIP-18B": {
    aliases: ["EVA_CLIP_18B_psz14_s6B"],
    zeroShot: byAuthors("EVA_CLIP_18B_psz14_s6B", 83.8),
  },
  "ViT-B-32": { zeroShot: byOpenClip("datacomp_xl_s13b_b90k", 69.17) },
  "ViT-B-32-quickgelu": {
    aliases: ["ViT-B/32", "openai/clip-vit-base-patch32"],
    zeroShot: byOpenClip("openai", 63.32),
  },
  "ViT-B-16": { zeroShot: byOpenClip("datacomp_xl_s13b_b90k", 73.49) },
  "ViT-B-16-quickgelu": {
    aliases: ["ViT-B/16", "openai/clip-vit-base-patch16"],
    zeroShot: byOpenClip("openai", 68.34),
  },
  "ViT-L-14": { zeroShot: byOpenClip("datacomp_xl_s13b_b90k", 79.21) },
  "ViT-L-14-quickgelu": {
    aliases: ["ViT-L/14", "openai/clip-vit-large-patch14"],
    zeroShot: byOpenClip("openai", 75.54),
  },
  "ViT-L-14-336": {},
  "ViT-L-14-336-quickgelu": {
    aliases: ["ViT-L/14@336px", "openai/clip-vit-large-patch14-336"],
    zeroShot: byOpenClip("openai", 76.56),
  },
  "ViT-H-14": { zeroShot: byOpenClip("laion2b_s32b_b79k", 77.96) },
  "ViT-g-14": { zeroShot: byOpenClip("laion2b_s34b_b88k", 78.47) },
  "ViT-bigG-14": { aliases: ["ViT-G-14"], zeroShot: byOpenClip("laion2b_s39b_b160k", 80.09) },
};

function published(name: ModelName): PublishedModel {
  const { aliases = [], zeroShot } = facts[name];
  const weights = publishedWeights(name);
  const names = new Set([...aliases, ...weights.flatMap(namesOfWeights)]);
  return { name, aliases: [...names], config: configs[name], weights, ...(zeroShot && { zeroShot }) };
}

export const publishedModels: readonly PublishedModel[] = (Object.keys(configs) as ModelName[]).map(
  published,
);
