import type { DataSet } from "../../../examples/emoji/data_set";
import { type Split, splitDataSet, UNSEEN_CONCEPTS } from "../../../examples/emoji/split";
import { syntheticDataSet } from "./synthetic_data_set";

const data = syntheticDataSet(450, ["noto", "twemoji", "emojione", "few"]);

const trainedStyles = (set: DataSet, split: Split) =>
  new Set(split.train.flatMap(({ drawings }) => drawings.map((drawing) => set.drawings[drawing]!.style)));
const unseen = (split: Split) => split.test.filter((test) => test.unseen).map(({ concept }) => concept);

describe("splitDataSet", () => {
  const split = splitDataSet(data, "twemoji", "test");

  it("trains on no drawing of the test style", () => {
    expect(trainedStyles(data, split)).toEqual(new Set(["noto", "emojione", "few"]));
    expect(split.test.every(({ drawing }) => data.drawings[drawing]!.style === "twemoji")).toBe(true);
  });

  it("trains on no drawing of an unseen concept, in any style", () => {
    const trained = new Set(split.train.map(({ concept }) => concept));
    expect(unseen(split)).toHaveLength(UNSEEN_CONCEPTS);
    expect(unseen(split).filter((concept) => trained.has(concept))).toEqual([]);
    expect(trained.size).toBe(450 - UNSEEN_CONCEPTS);
  });

  it("tests every concept of the style once, with its own drawing", () => {
    expect(split.test.map(({ concept }) => concept)).toEqual(data.concepts.map((_, i) => i));
    for (const { concept, drawing } of split.test) expect(data.drawings[drawing]!.concept).toBe(concept);
  });

  it("is deterministic", () => {
    expect(splitDataSet(data, "twemoji", "test")).toEqual(split);
  });

  it("validates on a style and concepts outside of the test, whose style and concepts are held out too", () => {
    const validation = splitDataSet(data, "twemoji", "validation");
    const reserved = new Set(unseen(split));
    expect(validation.style).toBe("noto");
    expect(trainedStyles(data, validation)).toEqual(new Set(["emojione", "few"]));
    const touched = [...validation.train, ...validation.test].map(({ concept }) => concept);
    expect(touched.filter((concept) => reserved.has(concept))).toEqual([]);
    expect(unseen(validation)).toHaveLength(UNSEEN_CONCEPTS);
    const trained = new Set(validation.train.map(({ concept }) => concept));
    expect(unseen(validation).some((concept) => trained.has(concept))).toBe(false);
  });

  it("uses another validation style if the first is the test style", () => {
    expect(splitDataSet(data, "noto", "validation").style).toBe("emojione");
  });

  it("holds out only concepts of the test style", () => {
    expect(unseen(splitDataSet(data, "few", "test"))).toHaveLength(UNSEEN_CONCEPTS);
  });

  it("lists the styles if the given one is unknown", () => {
    expect(() => splitDataSet(data, "crayon", "test")).toThrow(
      expect.objectContaining({
        code: "ERR_EVACLIP_INVALID_ARGUMENT",
        message: expect.stringMatching(/noto.*crayon/),
      }),
    );
  });
});
