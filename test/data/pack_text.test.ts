import { packPadded, packText } from "../../lib/data/pack_text";
import { clipTokenizer, tokenize } from "../../lib/data/tokenizer";

describe("packText", () => {
  test("lays rows end to end and rounds up to the bucket", () => {
    const packed = packText([[1, 5, 9], Int32Array.of(1, 9), [1, 2, 3, 9]], 8);
    expect(Array.from(packed.tokens)).toEqual([1, 5, 9, 1, 9, 1, 2, 3, 9, 0, 0, 0, 0, 0, 0, 0]);
    expect(Array.from(packed.cuSeqlens)).toEqual([0, 3, 5, 9]);
    expect(Array.from(packed.textEnds)).toEqual([2, 4, 8]);
  });

  test("adds nothing to a total that is a multiple of the bucket", () => {
    expect(
      packText(
        [
          [1, 2],
          [3, 4],
        ],
        4,
      ).tokens,
    ).toHaveLength(4);
    expect(packText([[1, 2, 3]]).tokens).toHaveLength(3);
  });

  test("refuses an empty row and a bad bucket", () => {
    expect(() => packText([[1], []], 4)).toThrow(/caption 1 has no tokens/);
    expect(() => packText([[1]], 0)).toThrow(/bucket must be a positive integer, found 0/);
  });
});

describe("packPadded", () => {
  test("finds each caption's end by its largest id", () => {
    const captions = ["a cat", "", "two dogs playing in the snow", "word ".repeat(100)];
    const packed = packPadded(tokenize(captions), 77, 16);
    const expected = packText(
      captions.map((caption) => clipTokenizer().encode(caption)),
      16,
    );
    expect(packed).toEqual(expected);
  });

  test("takes the first of several largest ids", () => {
    expect(Array.from(packPadded(Int32Array.of(1, 9, 9, 0), 4).textEnds)).toEqual([1]);
  });

  test("refuses tokens that do not fill rows", () => {
    expect(() => packPadded(new Int32Array(10), 4)).toThrow(/10 tokens do not make rows of 4/);
  });
});
