import { packPadded, packText, usualBucket } from "../../lib/text/pack_text";
import { clipTokenizer, tokenize } from "../../lib/text/tokenizer";

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

  test.each([
    ["5", /rows must be a list of lists of token ids, found "5"/],
    [{ length: 1 }, /rows must be a list of lists/],
    [[[1], []], /rows\[1\] must be a list of token ids, of at least one, found an array of 0/],
    [["ab"], /rows\[0\] must be a list of token ids, of at least one, found "ab"/],
    [[[1, Number.NaN]], /rows\[0\] must be/],
    [[[1.5]], /rows\[0\] must be/],
    [[[-1]], /rows\[0\] must be/],
    [[[2 ** 31]], /rows\[0\] must be/],
    [[new BigInt64Array(1)], /rows\[0\] must be/],
    [[null], /rows\[0\] must be a list of token ids, of at least one, found null/],
  ])("refuses the rows %p", (rows, message) => {
    const attempt = () => packText(rows as never);
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(expect.objectContaining({ code: "ERR_EVACLIP_INVALID_ARGUMENT" }));
  });

  test.each([0, 1.5, "4", Number.NaN, 2 ** 40])("refuses the bucket %p", (bucket) => {
    expect(() => packText([[1]], bucket as number)).toThrow(/packText: bucket must be/);
    expect(() => packPadded(Int32Array.of(1), 1, bucket as number)).toThrow(/packPadded: bucket must be/);
  });
});

describe("usualBucket", () => {
  const lengthOf = (count: number) => {
    const bucket = usualBucket([new Int32Array(count)]);
    return Math.ceil(count / bucket) * bucket;
  };

  test("short texts have their own length", () => {
    for (let count = 1; count <= 16; count++) expect(lengthOf(count)).toBe(count);
  });

  test("packs have these lengths", () => {
    for (const count of [17, 100, 777]) {
      const rows = [new Int32Array(count)];
      expect(packText(rows, usualBucket(rows)).tokens.length).toBe(lengthOf(count));
    }
  });

  test("at most an eighth is padding, and less than 256 tokens", () => {
    for (let count = 1; count < 20_000; count++) {
      const padding = lengthOf(count) - count;
      expect(padding).toBeGreaterThanOrEqual(0);
      if (padding > count / 8 || padding >= 256)
        throw new Error(`${count} tokens have ${padding} of padding`);
    }
  });

  test("there are few lengths", () => {
    const lengths = new Set(Array.from({ length: 2048 - 16 }, (_, i) => lengthOf(17 + i)));
    expect(lengths.size).toBe(8 * 7);
  });

  test("counts the tokens of all rows", () => {
    expect(usualBucket([new Int32Array(100), [1, 2, 3]])).toBe(8);
    expect(usualBucket([])).toBe(1);
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

  test("refuses what is not token rows or a context length", () => {
    expect(() => packPadded([1, 2] as never, 2)).toThrow(/tokens must be an Int32Array, found an array of 2/);
    expect(() => packPadded(Int32Array.of(1), 0)).toThrow(/contextLength must be at least 1, found 0/);
    expect(() => packPadded(Int32Array.of(1), "1" as never)).toThrow(/contextLength must be an integer/);
  });
});
