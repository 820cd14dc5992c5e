import type { Concept } from "../../../examples/emoji/concepts";
import { type DataSet, DRAWING_BYTES, joinStyles } from "../../../examples/emoji/data_set";
import { CounterRandom } from "../../../lib/random";

const GROUPS = ["activities", "food-drink", "objects"];

/** Concepts named "thing 0", "thing 1", …, each with its own tags. */
export function syntheticConcepts(count: number): Concept[] {
  return Array.from({ length: count }, (_, i) => ({
    hexcode: `1F${i}`,
    emoji: "",
    label: `thing ${i}`,
    slug: `thing-${i}`,
    tags: i % 5 === 0 ? [] : [`alpha${i}`, `beta${i}`, `gamma${i}`, `delta${i}`],
    keywords: [],
    group: GROUPS[i % GROUPS.length]!,
  }));
}

/**
 * Every concept is one color, shared by all styles, with noise per style: the pixel baseline recognizes all of them. Style
 * "few" has only every other concept.
 */
export function syntheticDataSet(count: number, styles: readonly string[]): DataSet {
  const parts = styles.map((style, s) => {
    const concepts = Array.from({ length: count }, (_, i) => i).filter((i) => style !== "few" || i % 2 === 0);
    const pixels = new Uint8Array(concepts.length * DRAWING_BYTES);
    concepts.forEach((concept, i) => {
      pixels.set(blob(concept, s), i * DRAWING_BYTES);
    });
    return { style, drawn: { concepts, pixels } };
  });
  return joinStyles(syntheticConcepts(count), parts, "synthetic");
}

function blob(concept: number, style: number): Uint8Array {
  const random = new CounterRandom(1, concept);
  const cells = Uint8Array.from({ length: 16 * 3 }, () => random.below(200));
  const pixels = new Uint8Array(DRAWING_BYTES).fill(255);
  for (let pixel = 0; pixel < DRAWING_BYTES / 4; pixel++) {
    const cell = Math.floor(pixel / 64 / 16) * 4 + Math.floor((pixel % 64) / 16);
    const noise = Math.imul(pixel + 1000 * style, 0x9e3779b1) >>> 27;
    for (let c = 0; c < 3; c++) pixels[pixel * 4 + c] = cells[cell * 3 + c]! + noise;
  }
  return pixels;
}
