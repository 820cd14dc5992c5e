import { tokenize } from "../../lib/text/tokenizer";
import { tokenRows } from "../../lib/clip/token_rows";

const limits = { contextLength: 6, vocabulary: 32 };
const rows = (tokens: number[], batch: number) =>
  tokenRows(Int32Array.from(tokens), batch, limits).map((row) => Array.from(row));

test("cuts padded rows after the end of text, the largest id", () => {
  expect(rows([30, 4, 31, 0, 30, 31, 0, 0], 2)).toEqual([
    [30, 4, 31],
    [30, 31],
  ]);
});

test("takes the tokenizer's rows, and requires CLIP's end of text", () => {
  const clip = { contextLength: 77, vocabulary: 49408 };
  expect(tokenRows(tokenize(["a dog", ""]), 2, clip).map(({ length }) => length)).toEqual([4, 2]);
  expect(() => tokenRows(Int32Array.of(49406, 320, 0), 1, clip)).toThrow(
    "caption 0 has no end of text: expected id 49407",
  );
});

test.each([
  [
    "an id beyond the vocabulary",
    [30, 32, 31],
    1,
    /caption 0: token ids are from 0 to 31, found 32 at position 1/,
  ],
  ["a negative id", [30, -1, 31], 1, /found -1/],
  ["only padding", [30, 31, 0, 0], 2, /caption 1 has no end of text/],
  [
    "more after the end",
    [30, 31, 4, 0],
    1,
    /the end of text at position 1 must be followed by padding.*found 4 at position 2/,
  ],
  ["rows that do not come out even", [30, 31, 0], 2, /3 tokens do not make 2 rows/],
  ["no rows", [], 0, /do not make 0 rows/],
  ["rows beyond the context", [30, 1, 1, 1, 1, 1, 31], 1, /longer than the context of 6/],
])("refuses %s", (_, tokens, batch, message) => {
  expect(() => rows(tokens, batch)).toThrow(
    expect.objectContaining({ code: "ERR_EVACLIP_INVALID_ARGUMENT" }),
  );
  expect(() => rows(tokens, batch)).toThrow(message);
});
