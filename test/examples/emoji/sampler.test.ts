import { DRAWING_BYTES } from "../../../examples/emoji/data_set";
import { caption, Sampler, trainingTexts } from "../../../examples/emoji/sampler";
import { splitDataSet } from "../../../examples/emoji/split";
import { CounterRandom } from "../../../lib/random";
import { syntheticConcepts, syntheticDataSet } from "./synthetic_data_set";

const data = syntheticDataSet(300, ["noto", "twemoji", "emojione"]);
const { train } = splitDataSet(data, "twemoji", "test");
const options = { seed: 3, batch: 64, augment: 0.35, randomBackground: 0.1, labelOnly: 0.6 };
const sampler = () => new Sampler(data, train, options);

describe("Sampler", () => {
  it("gives the same batch for the same seed and step, in any order", () => {
    const later = sampler().batch(7);
    const inOrder = sampler();
    for (let step = 0; step < 7; step++) inOrder.batch(step);
    expect(inOrder.batch(7)).toEqual(later);
  });

  it("gives other batches at another step or seed", () => {
    const first = sampler().batch(0);
    expect(sampler().batch(3).concepts).not.toEqual(first.concepts);
    expect(new Sampler(data, train, { ...options, seed: 4 }).batch(0).concepts).not.toEqual(first.concepts);
  });

  it("has every concept at most once per epoch, and never one that is held out", () => {
    const one = sampler();
    const shown = Array.from({ length: one.batchesPerEpoch }, (_, step) => one.batch(step).concepts).flat();
    expect(one.batchesPerEpoch).toBe(3);
    expect(new Set(shown).size).toBe(3 * 64);
    const known = new Set(train.map(({ concept }) => concept));
    expect(shown.every((concept) => known.has(concept))).toBe(true);
  });

  it("copies a drawing of the concept in a training style", () => {
    const { concepts, drawings } = sampler().batch(0);
    concepts.forEach((concept, b) => {
      const pixels = drawings.subarray(b * DRAWING_BYTES, (b + 1) * DRAWING_BYTES);
      const choices = train.find((entry) => entry.concept === concept)!.drawings;
      const matches = choices.filter((drawing) =>
        Buffer.from(pixels).equals(
          data.pixels.subarray(drawing * DRAWING_BYTES, (drawing + 1) * DRAWING_BYTES),
        ),
      );
      expect(matches).toHaveLength(1);
    });
  });

  it("refuses a batch larger than the number of concepts", () => {
    expect(() => new Sampler(data, train, { ...options, batch: 201 })).toThrow(/at most 200.*201/);
  });
});

describe("caption", () => {
  const concept = syntheticConcepts(2)[1]!;
  const captions = Array.from({ length: 4000 }, (_, i) => caption(concept, new CounterRandom(i), 0.6));

  it("is the label in six of ten, label and tags in a quarter, and tags alone otherwise", () => {
    const share = (matches: (text: string) => boolean) => captions.filter(matches).length / captions.length;
    expect(share((text) => text === "thing 1")).toBeCloseTo(0.6, 1);
    expect(share((text) => /^thing 1 \w/.test(text))).toBeCloseTo(0.24, 1);
    expect(share((text) => !text.startsWith("thing"))).toBeCloseTo(0.16, 1);
  });

  it("repeats no tag", () => {
    for (const text of captions) {
      const words = text.split(" ");
      expect(new Set(words).size).toBe(words.length);
    }
  });

  it("is the label if there are no tags", () => {
    const plain = { ...concept, tags: [] };
    for (let i = 0; i < 50; i++) expect(caption(plain, new CounterRandom(i), 0)).toBe("thing 1");
  });
});

it("trainingTexts has the labels and tags of the training concepts only", () => {
  const texts = new Set(trainingTexts(data, [{ concept: 1, drawings: [0] }]));
  expect(texts).toEqual(new Set(["thing 1", "alpha1", "beta1", "gamma1", "delta1"]));
});
