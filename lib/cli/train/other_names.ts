/** Names of flags in EVA-CLIP, and their names here. */
export const ALIASES: Readonly<Record<string, string>> = {
  "--visual-lr": "--image-lr",
  "--visual-wd": "--image-wd",
  "--ld": "--layer-decay",
  "--visual-ld": "--image-layer-decay",
  "--text-ld": "--text-layer-decay",
};

/** Flags of open_clip or EVA-CLIP that mean different things in different programs, and what to use here. */
export const AMBIGUOUS: Readonly<Record<string, string>> = {
  "--workers":
    "is the number of processes in open_clip; use --decode-concurrency <n>, the number of images decoded at once",
  "--pretrained-image": "is a switch in open_clip and a path in EVA-CLIP; use --pretrained-image-path <path>",
  "--pretrained-text": "is not a flag here; use --pretrained-text-path <path>",
};
