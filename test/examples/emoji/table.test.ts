import { exampleLines, resultTable } from "../../../examples/emoji/table";
import { syntheticRun } from "./synthetic_run";

describe("resultTable", () => {
  const lines = resultTable(syntheticRun().result).replaceAll("\u00a0", " ").split("\n");

  it("aligns its columns", () => {
    const ends = lines.filter((line) => line.startsWith("A:")).map((line) => line.length);
    expect(new Set(ends).size).toBe(1);
  });

  it("shows test A next to chance and the pixel baseline", () => {
    expect(lines.find((line) => line.startsWith("A: unseen style, all"))).toMatch(
      /150 +50\.0 % +\d+\.\d % +0\.67 % +25\.0 %$/,
    );
  });
});

it("exampleLines marks correct predictions and unseen concepts", () => {
  const names = [
    { label: "cat", probability: 0.7, right: false },
    { label: "dog", probability: 0.2, right: true },
  ];
  const lines = exampleLines([
    { label: "dog", unseen: true, image: "", names },
    { label: "cat", unseen: false, image: "", names: [{ ...names[0]!, right: true }] },
  ]);
  expect(lines).toBe("  ✗ dog (unseen)  cat 70 %, dog 20 %\n  ✓ cat           cat 70 %");
});
