import type { ClipConfigInput } from "./clip_config";

/** Weights on the hub. */
export interface PublishedWeights {
  /** Their name among those of the model: open_clip's, or EVA-CLIP's own. */
  readonly tag: string;
  /** `OWNER/NAME`, or `OWNER/NAME/FILE` where the repository has several models. */
  readonly source: string;
  /** The preprocessing that they were trained with; undefined if it is CLIP's. */
  readonly preprocess_cfg?: NonNullable<ClipConfigInput["preprocess_cfg"]>;
}

type Sources = Readonly<Record<string, string | Omit<PublishedWeights, "tag">>>;

const timm = (tower: string) => (tag: string, named: string) => ({ [tag]: `timm/${tower}.${named}` });

/** Tags whose repositories of timm have the tag's name. */
function ofTimm(tower: string, ...tags: readonly string[]): Sources {
  return Object.assign({}, ...tags.map((tag) => timm(tower)(tag, tag)));
}

/** open_clip's tag of an EVA-CLIP model, and the names that EVA-CLIP gives the same weights. */
function eva(tower: string, tag: string, file: string, family: "eva01" | "eva02"): Sources {
  const source = `QuanSun/EVA-CLIP/${file}.pt`;
  return { ...ofTimm(tower, tag), eva_clip: source, [`${family}_clip`]: source };
}

/** Tags that LAION's repositories spell otherwise: DataComp and CommonPool filters. */
function laion(model: string, names: Readonly<Record<string, string>>): Sources {
  return Object.fromEntries(Object.entries(names).map(([tag, name]) => [tag, `laion/CLIP-${model}-${name}`]));
}

/** The filters of DataComp's baselines at one scale. */
function commonPool(model: string, scale: string, run: string, filters: readonly string[]): Sources {
  const size = scale.toLowerCase();
  const tagged = filters.map((filter) => {
    const tag = `commonpool_${size}${filter && `_${filter}`}_${run.toLowerCase().replaceAll("-", "_")}`;
    return [tag, `CommonPool.${scale}${filter && `.${filter}`}-${run}`];
  });
  return laion(model, Object.fromEntries(tagged));
}

const FILTERS = ["clip", "laion", "image", "text", "basic", ""];
const METACLIP_FULL = "metaclip_2pt5b";
const HALF = [0.5, 0.5, 0.5];

/** open_clip's pretrained.py (commit 89fb801), and EVA-CLIP's (baaivision/EVA, commit 5623d08). */
const sources: Readonly<Record<string, Sources>> = {
  "EVA01-CLIP-g-14": eva(
    "eva_giant_patch14_clip_224",
    "laion400m_s11b_b41k",
    "EVA01_CLIP_g_14_psz14_s11B",
    "eva01",
  ),
  "EVA01-CLIP-g-14-plus": eva(
    "eva_giant_patch14_plus_clip_224",
    "merged2b_s11b_b114k",
    "EVA01_CLIP_g_14_plus_psz14_s11B",
    "eva01",
  ),
  "EVA02-CLIP-B-16": eva(
    "eva02_base_patch16_clip_224",
    "merged2b_s8b_b131k",
    "EVA02_CLIP_B_psz16_s8B",
    "eva02",
  ),
  "EVA02-CLIP-L-14": eva(
    "eva02_large_patch14_clip_224",
    "merged2b_s4b_b131k",
    "EVA02_CLIP_L_psz14_s4B",
    "eva02",
  ),
  "EVA02-CLIP-L-14-336": {
    ...eva("eva02_large_patch14_clip_336", "merged2b_s6b_b61k", "EVA02_CLIP_L_336_psz14_s6B", "eva02"),
    eva_clip_224to336: "QuanSun/EVA-CLIP/EVA02_CLIP_L_psz14_224to336.pt",
  },
  "EVA02-CLIP-bigE-14": eva(
    "eva02_enormous_patch14_clip_224",
    "laion2b_s4b_b115k",
    "EVA02_CLIP_E_psz14_s4B",
    "eva02",
  ),
  "EVA02-CLIP-bigE-14-plus": eva(
    "eva02_enormous_patch14_plus_clip_224",
    "laion2b_s9b_b144k",
    "EVA02_CLIP_E_psz14_plus_s9B",
    "eva02",
  ),
  "EVA-CLIP-8B": {
    EVA_CLIP_8B_psz14_s9B: "BAAI/EVA-CLIP-8B",
    eva_clip: "BAAI/EVA-CLIP-8B/EVA_CLIP_8B_psz14_s9B.pt",
  },
  "EVA-CLIP-8B-plus": {
    "EVA_CLIP_8B_psz14_plus_s0.6B": "BAAI/EVA-CLIP-8B-448",
    eva_clip: "BAAI/EVA-CLIP-8B-448/EVA_CLIP_8B_psz14_plus_s0.6B.pt",
  },
  "EVA-CLIP-18B": {
    EVA_CLIP_18B_psz14_s6B: "BAAI/EVA-CLIP-18B",
    eva_clip: "BAAI/EVA-CLIP-18B/EVA_CLIP_18B_psz14_s6B.fp16.pt",
  },
  "ViT-B-32": {
    ...ofTimm("vit_base_patch32_clip_224", "laion2b_e16"),
    ...laion("ViT-B-32", {
      laion2b_s34b_b79k: "laion2B-s34B-b79K",
      datacomp_xl_s13b_b90k: "DataComp.XL-s13B-b90K",
      datacomp_m_s128m_b4k: "DataComp.M-s128M-b4K",
    }),
    ...commonPool("ViT-B-32", "M", "s128M-b4K", FILTERS),
    ...laion("ViT-B-32", { datacomp_s_s13m_b4k: "DataComp.S-s13M-b4K" }),
    ...commonPool("ViT-B-32", "S", "s13M-b4K", FILTERS),
  },
  "ViT-B-32-quickgelu": {
    ...ofTimm("vit_base_patch32_clip_224", "openai", "laion400m_e31", "laion400m_e32", "metaclip_400m"),
    ...timm("vit_base_patch32_clip_224")("metaclip_fullcc", METACLIP_FULL),
  },
  "ViT-B-16": {
    ...ofTimm("vit_base_patch16_clip_224", "laion400m_e31", "laion400m_e32"),
    ...laion("ViT-B-16", {
      laion2b_s34b_b88k: "laion2B-s34B-b88K",
      datacomp_xl_s13b_b90k: "DataComp.XL-s13B-b90K",
      datacomp_l_s1b_b8k: "DataComp.L-s1B-b8K",
    }),
    ...commonPool("ViT-B-16", "L", "s1B-b8K", FILTERS),
  },
  "ViT-B-16-quickgelu": {
    ...ofTimm("vit_base_patch16_clip_224", "openai", "metaclip_400m"),
    ...timm("vit_base_patch16_clip_224")("metaclip_fullcc", METACLIP_FULL),
    dfn2b: "apple/DFN2B-CLIP-ViT-B-16",
  },
  "ViT-L-14": {
    ...ofTimm("vit_large_patch14_clip_224", "laion400m_e31", "laion400m_e32"),
    laion2b_s32b_b82k: {
      source: "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
      preprocess_cfg: { mean: HALF, std: HALF },
    },
    ...laion("ViT-L-14", { datacomp_xl_s13b_b90k: "DataComp.XL-s13B-b90K" }),
    ...commonPool("ViT-L-14", "XL", "s13B-b90K", ["clip", "laion", ""]),
    dfn2b_s39b: "apple/DFN2B-CLIP-ViT-L-14-39B",
  },
  "ViT-L-14-quickgelu": {
    ...ofTimm("vit_large_patch14_clip_224", "openai", "metaclip_400m"),
    ...timm("vit_large_patch14_clip_224")("metaclip_fullcc", METACLIP_FULL),
    dfn2b: "apple/DFN2B-CLIP-ViT-L-14",
  },
  "ViT-L-14-336-quickgelu": ofTimm("vit_large_patch14_clip_336", "openai"),
  "ViT-H-14": {
    ...laion("ViT-H-14", { laion2b_s32b_b79k: "laion2B-s32B-b79K" }),
    ...ofTimm("vit_huge_patch14_clip_224", "metaclip_altogether"),
  },
  "ViT-g-14": laion("ViT-g-14", {
    laion2b_s34b_b88k: "laion2B-s34B-b88K",
    laion2b_s12b_b42k: "laion2B-s12B-b42K",
  }),
  "ViT-bigG-14": laion("ViT-bigG-14", { laion2b_s39b_b160k: "laion2B-39B-b160k" }),
};

/** The weights that are published for a model, by open_clip's tags first. */
export function publishedWeights(name: string): readonly PublishedWeights[] {
  return Object.entries(sources[name] ?? {}).map(([tag, stated]) => ({
    tag,
    ...(typeof stated === "string" ? { source: stated } : stated),
  }));
}

/** The names by which a model's weights are known: of the repository, of timm without its owner, or of the file. */
export function namesOfWeights({ source }: PublishedWeights): readonly string[] {
  const [owner, name, file] = source.split("/");
  if (file !== undefined) return [file.replace(/\.pt$/, "")];
  return owner === "timm" ? [name!, source] : [source];
}
