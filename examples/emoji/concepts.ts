import { readFileSync } from "node:fs";
import { join } from "node:path";

/** An emoji with its CLDR name and keywords. */
export interface Concept {
  /** Code points in hexadecimal, joined by "-", as in emojibase. */
  hexcode: string;
  emoji: string;
  /** The CLDR short name: "grinning face with big eyes". */
  label: string;
  /** The label in the spelling of the icon sets: "grinning-face-with-big-eyes". */
  slug: string;
  /** Keywords (emojibase). */
  tags: string[];
  /** More keywords (emojilib), words separated by spaces. */
  keywords: string[];
  /** "animals-nature", "food-drink", … */
  group: string;
}

interface EmojibaseEntry {
  label: string;
  hexcode: string;
  emoji: string;
  group?: number;
  tags?: string[];
}

/** Flags look the same in every set, and components do not depict anything. */
const EXCLUDED_GROUPS = new Set(["flags", "component"]);

/**
 * Every concept, in emojibase's order. Skin-tone variants, which emojibase nests inside their concept, are left out.
 *
 * @param modules the `node_modules` folder with emojibase-data and emojilib
 */
export function loadConcepts(modules: string): Concept[] {
  const entries = readJson(join(modules, "emojibase-data/en/data.json")) as EmojibaseEntry[];
  const messages = readJson(join(modules, "emojibase-data/en/messages.json")) as {
    groups: { key: string; order: number }[];
  };
  const keywords = readJson(join(modules, "emojilib/dist/emoji-en-US.json")) as Record<string, string[]>;
  const groups = new Map(messages.groups.map(({ key, order }) => [order, key]));
  return entries.flatMap((entry) => {
    const group = entry.group === undefined ? undefined : groups.get(entry.group);
    if (group === undefined || EXCLUDED_GROUPS.has(group)) return [];
    return {
      hexcode: entry.hexcode,
      emoji: entry.emoji,
      label: entry.label,
      slug: slugOf(entry.label),
      tags: entry.tags ?? [],
      keywords: (keywords[entry.emoji] ?? []).map((word) => word.replaceAll("_", " ")),
      group,
    };
  });
}

/** "piñata" → "pinata", "Mrs. Claus" → "mrs-claus": the icon sets' file names. */
export function slugOf(label: string): string {
  return label
    .normalize("NFKD")
    .replace(/[\u0300-\u036f’']/g, "")
    .toLowerCase()
    .replaceAll("&", "and")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
}

/** Code points in lower case without the variation selector, on which the sets disagree. */
export function plainHexcode(hexcode: string): string {
  return hexcode
    .toLowerCase()
    .split("-")
    .filter((point) => point !== "fe0f")
    .join("-");
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, "utf8"));
}
