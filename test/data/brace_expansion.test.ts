import { expandBraces } from "../../lib/data/brace_expansion";

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
  ])("%s", (pattern, names) => {
    expect(expandBraces(pattern)).toEqual(names);
  });

  test("refuses a range of more names than memory should hold", () => {
    expect(() => expandBraces("{0..99999999}")).toThrow(/100000000 names/);
  });
});
