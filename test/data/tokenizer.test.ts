import { readFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { ClipTokenizer, clipTokenizer, END_OF_TEXT, START_OF_TEXT, tokenize } from "../../lib/data/tokenizer";

interface Fixture {
  context_length: number;
  captions: string[];
  ids: number[][];
}

const fixture = JSON.parse(readFileSync(join(__dirname, "../fixtures/tokenizer.json"), "utf8")) as Fixture;

describe("tokenize", () => {
  test.each(fixture.captions.map((caption, i) => [caption.slice(0, 40), i] as const))(
    "gives the published ids of %j",
    (_, i) => {
      expect(Array.from(tokenize(fixture.captions[i]!))).toEqual(fixture.ids[i]);
    },
  );

  test("lays captions out row by row", () => {
    const tokens = tokenize(["a cat", "two dogs"], 8);
    expect(tokens).toHaveLength(16);
    expect(Array.from(tokens.subarray(8))).toEqual(Array.from(tokenize("two dogs", 8)));
  });

  test("cuts a long caption and ends it with the end of text", () => {
    const tokens = tokenize("one two three four five six seven eight", 5);
    expect(tokens).toHaveLength(5);
    expect(tokens[0]).toBe(START_OF_TEXT);
    expect(tokens[4]).toBe(END_OF_TEXT);
  });

  test("an exact fit is not cut", () => {
    const ids = clipTokenizer().encode("a photo of a cat");
    expect(clipTokenizer().encode("a photo of a cat", ids.length)).toEqual(ids);
  });

  test("refuses what is not a caption", () => {
    expect(() => tokenize([undefined as unknown as string])).toThrow(
      expect.objectContaining({ code: "ERR_EVACLIP_INVALID_ARGUMENT" }),
    );
    expect(() => tokenize("a cat", 1)).toThrow(/contextLength/);
  });

  test("a word of a megabyte does not hold the event loop", () => {
    const letters = Array.from({ length: 1 << 20 }, (_, i) =>
      String.fromCharCode(97 + ((i * i * 7 + i) % 26)),
    );
    const caption = letters.join("");
    tokenize(caption.slice(0, 1 << 14));
    const start = performance.now();
    const tokens = tokenize(caption);
    const milliseconds = performance.now() - start;
    expect(tokens[76]).toBe(END_OF_TEXT);
    expect(milliseconds).toBeLessThan(200);
  });
});

describe("ClipTokenizer", () => {
  test("decodes what it encoded", () => {
    const tokenizer = new ClipTokenizer();
    expect(tokenizer.decode(tokenizer.encode("A photo of a café, 北京"))).toBe("a photo of a café , 北京");
    expect(tokenizer.decode(tokenize("two dogs"))).toBe("two dogs");
  });

  test("refuses to decode an id outside the vocabulary", () => {
    expect(() => clipTokenizer().decode([49_408])).toThrow(/49407, found 49408/);
  });
});
