/** Who drew a style, where its art comes from and under which licence. */
export interface Style {
  name: string;
  title: string;
  /** The npm package that holds the art. */
  package: string;
  licence: string;
  format: "iconify" | "webp";
  /** Not installed unless `--all-styles` asks for it: a large download that resembles `fluent-emoji-flat`. */
  optional?: true;
  /** The style whose code point table names this set's icons, where its own package has none. */
  codePointsFrom?: string;
}

/** The ten drawing styles. Their order is part of the data set: it numbers the images. */
export const STYLES: readonly Style[] = [
  iconify("noto", "Google Noto", "Apache-2.0"),
  iconify("noto-v1", "Google Noto, the blobs", "Apache-2.0"),
  iconify("twemoji", "Twitter Twemoji", "CC-BY-4.0"),
  iconify("openmoji", "OpenMoji", "CC-BY-SA-4.0"),
  iconify("emojione", "EmojiOne 2", "CC-BY-4.0"),
  iconify("emojione-v1", "EmojiOne 1", "CC-BY-SA-4.0"),
  iconify("fluent-emoji-flat", "Microsoft Fluent, flat", "MIT"),
  iconify("fxemoji", "Mozilla FxEmojis", "Apache-2.0"),
  {
    ...iconify("fluent-emoji", "Microsoft Fluent, shaded", "MIT"),
    optional: true,
    codePointsFrom: "@iconify-json/fluent-emoji-flat",
  },
  {
    name: "fluent-3d",
    title: "Microsoft Fluent, 3D",
    package: "@lobehub/fluent-emoji-3d",
    licence: "MIT",
    format: "webp",
    optional: true,
  },
];

/** The style that the published numbers hold out. */
export const DEFAULT_TEST_STYLE = "twemoji";

/**
 * Styles to choose hyperparameters on, in order of preference: the first that is not the test style is used. Noto is
 * the most like Twemoji in kind: it draws every concept, and comparing pixels names 43 % of its drawings (Twemoji 39 %,
 * EmojiOne 30 %, OpenMoji 11 %).
 */
const VALIDATION_STYLES = ["noto", "emojione"] as const;

/** The style that stands in for `testStyle` while hyperparameters are chosen. */
export function validationStyleFor(testStyle: string): string {
  return testStyle === VALIDATION_STYLES[0] ? VALIDATION_STYLES[1] : VALIDATION_STYLES[0];
}

function iconify(name: string, title: string, licence: string): Style {
  return { name, title, licence, package: `@iconify-json/${name}`, format: "iconify" };
}
