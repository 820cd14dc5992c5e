import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fixText } from "../../lib/text/fix_text/fix_text";
import { ClipTokenizer, clipTokenizer, END_OF_TEXT, START_OF_TEXT, tokenize } from "../../lib/text/tokenizer";
import { eventLoopHeldMs } from "../support/event_loop";

interface Fixture {
  context_length: number;
  captions: string[];
  ids: number[][];
}

/** Captions that ftfy repairs, the text that it gives, and open_clip's ids, as test/peer/make_captions.py wrote them. */
const repaired = JSON.parse(readFileSync(join(__dirname, "../fixtures/ftfy_captions.json"), "utf8")) as [
  caption: string,
  text: string,
  ids: number[],
][];

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

  test.each([
    [5, /captions must be a string or a list of strings, found 5/],
    [undefined, /captions must be a string or a list of strings, found undefined/],
    [[undefined], /captions\[0\] must be a string, found undefined/],
    [["a", 1n], /captions\[1\] must be a string, found 1n/],
    [new Set(["a"]), /captions must be a string or a list of strings, found an object of class Set/],
  ])("refuses the captions %p", (captions, message) => {
    expect(() => tokenize(captions as never)).toThrow(message);
    expect(() => tokenize(captions as never)).toThrow(
      expect.objectContaining({ code: "ERR_EVACLIP_INVALID_ARGUMENT" }),
    );
  });

  test.each([1, 0, -1, 1.5, Number.NaN, "77", null, 2 ** 40])("refuses the contextLength %p", (length) => {
    expect(() => tokenize("a cat", length as number)).toThrow(/tokenize: contextLength must be/);
    expect(() => clipTokenizer().encode("a cat", length as number)).toThrow(/encode: contextLength must be/);
  });
});

describe("captions that are repaired", () => {
  test.each(repaired.map((row, i) => [JSON.stringify(row[0]).slice(0, 60), i] as const))("%s", (_, i) => {
    const [caption, text, ids] = repaired[i]!;
    expect(fixText(caption)).toBe(text);
    expect(clipTokenizer().encode(caption)).toEqual(ids);
  });

  test("references that are nested hundreds of times are decoded", () => {
    expect(fixText(`tom &${"amp;".repeat(500)} jerry`)).toBe("tom & jerry");
  });

  test("ids of a word do not depend on the context lengths that it was encoded with before", () => {
    const word = "犬".repeat(60);
    const tokenizer = new ClipTokenizer();
    tokenizer.encode(word, 2);
    expect(tokenizer.encode(word)).toEqual(new ClipTokenizer().encode(word));
  });
});

describe("long captions", () => {
  const MEGABYTES = 20 << 20;
  const filled = (unit: string) => unit.repeat(Math.ceil(MEGABYTES / unit.length));
  const sentence = "two dogs, a cat & 3 birds sit on the “old” café’s red bench; ";

  test("have the ids of their beginning", () => {
    const beginning = sentence.repeat(20);
    expect(tokenize(filled(sentence))).toEqual(tokenize(beginning));
    expect(tokenize(" ".repeat(500_000) + beginning)).toEqual(tokenize(beginning));
    expect(tokenize(filled("😀"))).toEqual(tokenize("😀".repeat(100)));
  });

  test("keep the end of a beginning that fits", () => {
    const words = "word ".repeat(70);
    expect(tokenize(`${words}${" ".repeat(4000)}end`)).toEqual(tokenize(`${words}end`));
  });

  test.each([
    ["words", filled(sentence)],
    ["one word", filled("abcdefghijklmnopqrstuvwxyz")],
    ["spaces", filled(" ")],
    ["no-break spaces", filled("\xa0")],
    ["line breaks", filled("\r\n")],
    ["combining marks", `a${filled("\u0301\u0323")}`],
    ["removed characters", filled("\ufeff")],
    ["terminal escapes", filled("\x1b[0m")],
    ["nested references", `&${filled("amp;")}`],
    ["references", filled("&amp;amp; ")],
    ["mojibake that takes a pass for each character", `${"Â".repeat(4900)}©`],
    ["mojibake", filled("Ã©tÃ© â€œâ€\x9d ")],
    ["C1 controls", filled("\x80\x81")],
    ["lone surrogates", filled("\ud83d")],
    ["hyphens", filled("-")],
  ])("of %s hold the event loop for a moment only", async (_, caption) => {
    tokenize(caption);
    expect(await eventLoopHeldMs(20, async () => tokenize(caption))).toBeLessThan(20);
  });
});

describe("ClipTokenizer", () => {
  test("decodes what it encoded", () => {
    const tokenizer = new ClipTokenizer();
    expect(tokenizer.decode(tokenizer.encode("A photo of a café, 北京"))).toBe("a photo of a café , 北京");
    expect(tokenizer.decode(tokenize("two dogs"))).toBe("two dogs");
  });

  test("refuses to decode what is not token ids", () => {
    expect(() => clipTokenizer().decode("12" as never)).toThrow(
      /decode: ids must be a list of token ids, found "12"/,
    );
    expect(() => clipTokenizer().decode(undefined as never)).toThrow(
      /decode: ids must be a list of token ids/,
    );
  });

  test("refuses to decode an id outside the vocabulary", () => {
    expect(() => clipTokenizer().decode([49_408])).toThrow(/49407, found 49408/);
  });
});
