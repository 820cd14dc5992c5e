import { expandBraces } from "../../lib/data/sources/webdataset/brace_expansion";

describe("expandBraces", () => {
  test.each([
    ["plain.tar", ["plain.tar"]],
    ["s-{0..3}.tar", ["s-0.tar", "s-1.tar", "s-2.tar", "s-3.tar"]],
    ["s-{008..011}", ["s-008", "s-009", "s-010", "s-011"]],
    ["{3..1}", ["3", "2", "1"]],
    ["{a,b}-{0..1}", ["a-0", "a-1", "b-0", "b-1"]],
    ["x{a,b{1..2}}y", ["xay", "xb1y", "xb2y"]],
    ["{,extra-}train", ["train", "extra-train"]],
    ["a{b}c{1..2}", ["a{b}c1", "a{b}c2"]],
    ["a{b", ["a{b"]],
    ["{0..10..5}", ["0", "5", "10"]],
    ["{a..c}", ["a", "b", "c"]],
    ["{-01..1}", ["-01", "000", "001"]],
  ])("%s", (pattern, names) => {
    expect(expandBraces(pattern)).toEqual(names);
  });

  test("refuses a range of more names than memory should hold", () => {
    expect(() => expandBraces("{0..99999999}")).toThrow(/100000000 names/);
    expect(() => expandBraces("{0..9999}{0..9999}")).toThrow(/100000000 names/);
    expect(() => expandBraces("{a,b}".repeat(500))).toThrow(/names, more than/);
    expect(() => expandBraces("{".repeat(100_000))).toThrow(/at most 4096 characters/);
  });
});
