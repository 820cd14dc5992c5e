// Prompt templates, with {} in place of the label.

/** The seven prompts that score nearly as well as CLIP's 80 (SIMPLE_IMAGENET_TEMPLATES of the package). */
const SEVEN = [
  "itap of a {}.",
  "a bad photo of the {}.",
  "a origami {}.",
  "a photo of the large {}.",
  "a {} in a video game.",
  "art of the {}.",
  "a photo of the small {}.",
];

/** What can be chosen; without `templates`, the visitor's own. */
export const CHOICES = [
  { value: "photo", name: "a photo of a {}.", templates: ["a photo of a {}."] },
  { value: "label", name: "the label alone", templates: ["{}"] },
  { value: "drawing", name: "a drawing of a {}.", templates: ["a drawing of a {}."] },
  { value: "painting", name: "a painting of a {}.", templates: ["a painting of a {}."] },
  { value: "seven", name: "average of seven prompts", templates: SEVEN },
  { value: "own", name: "your own…" },
];

/** One prompt per template. */
export const fill = (templates, label) => templates.map((template) => template.replaceAll("{}", () => label));
