import { UNKNOWN, Vocabulary } from "../../../examples/emoji/vocabulary";
import { clipTokenizer } from "../../../lib/text/tokenizer";

const vocabulary = Vocabulary.of(["red apple", "green apple", "Apple!"], clipTokenizer(), 6);

describe("Vocabulary", () => {
  it("numbers the occurring tokens densely, then start and end, end the largest", () => {
    const { start, end, vocabularySize } = vocabulary;
    expect(vocabulary.pieces).toHaveLength(4);
    expect([start, end, vocabularySize]).toEqual([5, 6, 7]);
    const ids = new Set(["red", "green", "apple", "!"].flatMap((text) => vocabulary.encode(text)));
    expect([...ids].sort()).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("begins with start, ends with end and keeps the order", () => {
    const [start, red, apple, end] = vocabulary.encode("red apple");
    expect([start, end]).toEqual([vocabulary.start, vocabulary.end]);
    expect(vocabulary.encode("apple red")).toEqual([start, apple, red, end]);
  });

  it("maps other tokens to unknown", () => {
    expect(vocabulary.encode("blue apple")[1]).toBe(UNKNOWN);
    expect(vocabulary.knows("blue apple")).toBe(false);
    expect(vocabulary.knows("red green")).toBe(true);
  });

  it("truncates to the context length and still ends with end", () => {
    const ids = vocabulary.encode("red green apple red green apple");
    expect(ids).toHaveLength(6);
    expect(ids.at(-1)).toBe(vocabulary.end);
    expect(vocabulary.encode("red green apple", 3)).toHaveLength(3);
  });

  it("does not depend on the order of the texts", () => {
    const other = Vocabulary.of(["Apple!", "green apple", "red apple"], clipTokenizer(), 6);
    expect(other.encode("green red apple")).toEqual(vocabulary.encode("green red apple"));
  });

  it("refuses a context without room for a token", () => {
    expect(() => Vocabulary.of(["red"], clipTokenizer(), 2)).toThrow(/at least 3; found 2/);
  });
});
