/** Names that EVA-CLIP or open_clip give to flags of ours, and ours. */
export const ALIASES: Readonly<Record<string, string>> = {
  "--visual-lr": "--image-lr",
  "--visual-wd": "--image-wd",
  "--ld": "--layer-decay",
  "--visual-ld": "--image-layer-decay",
  "--text-ld": "--text-layer-decay",
};

/** Flags of open_clip or EVA-CLIP whose names mean something else elsewhere, and what to use here. */
export const AMBIGUOUS: Readonly<Record<string, string>> = {
  "--workers":
    "counts processes in open_clip, and there are none here: --decode-concurrency <n> is the number of images decoded at once",
  "--pretrained-image":
    "is a switch in open_clip and a path in EVA-CLIP: write --pretrained-image-path <path>",
  "--pretrained-text": "is written --pretrained-text-path <path>",
};
