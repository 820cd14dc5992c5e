/** A drawing style: its artist, package and license. */
export interface Style {
  name: string;
  title: string;
  /** The npm package of the art. */
  package: string;
  license: string;
  format: "iconify" | "webp";
  /** Installed only with `--all-styles`: a large download similar to `fluent-emoji-flat`. */
  optional?: true;
  /** The package with the code point table of this set, if its own has none. */
  codePointsFrom?: string;
}

/** The ten drawing styles. Their order determines the image indices. */
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
    license: "MIT",
    format: "webp",
    optional: true,
  },
];

/** The held-out style of the published numbers. */
export const DEFAULT_TEST_STYLE = "twemoji";

/**
 * Styles to choose hyperparameters on: the first that is not the test style. Noto is the closest to Twemoji in difficulty:
 * it has every concept, and the pixel baseline recognizes 43 % of its drawings (Twemoji 39 %, EmojiOne 30 %, OpenMoji
 * 11 %).
 */
const VALIDATION_STYLES = ["noto", "emojione"] as const;

/** The validation style for a test style. */
export function validationStyleFor(testStyle: string): string {
  return testStyle === VALIDATION_STYLES[0] ? VALIDATION_STYLES[1] : VALIDATION_STYLES[0];
}

function iconify(name: string, title: string, license: string): Style {
  return { name, title, license, package: `@iconify-json/${name}`, format: "iconify" };
}
