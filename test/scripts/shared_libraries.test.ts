import { execFileSync } from "node:child_process";
import { resolve } from "node:path";

/** The value of an expression over the exports of scripts/shared_libraries.mjs. */
function evaluate(expression: string): unknown {
  const module = resolve(__dirname, "../../scripts/shared_libraries.mjs");
  const program = `const m = await import(${JSON.stringify(module)}); console.log(JSON.stringify(${expression}));`;
  const args = ["--input-type=module", "--eval", program];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" }));
}

test("versions are compared by their numbers", () => {
  const pairs = [
    ["2.36", "2.35"],
    ["2.4", "2.35"],
    ["2.35", "2.35"],
    ["3.4.31", "3.4.30"],
    ["2.2.5", "2.35"],
  ];
  const newer = evaluate(`${JSON.stringify(pairs)}.map(([a, b]) => m.isNewer(a, b))`);
  expect(newer).toEqual([true, false, false, true, false]);
});

test("the newest symbol versions that a binary needs are read from it, and not those that it defines", () => {
  const needed = evaluate("m.neededSymbols(process.execPath)");
  expect(needed).toMatchObject({
    GLIBC: expect.stringMatching(/^2\.\d+/),
    GLIBCXX: expect.stringMatching(/^3\.4/),
  });
  // libstdc++ defines GLIBCXX versions and needs none of them.
  const path = evaluate('m.neededLibraries(process.execPath).get("libstdc++.so.6")');
  expect(evaluate(`m.neededSymbols(${JSON.stringify(path)})`)).not.toHaveProperty("GLIBCXX");
});
