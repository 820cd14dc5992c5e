import { minutes, percent, resultRows } from "../../../examples/emoji/result";
import { syntheticRun } from "./synthetic_run";

const { result } = syntheticRun();

describe("assembleResult", () => {
  it("has every field of result.json, as fractions", () => {
    expect(result).toMatchObject({
      testStyle: "twemoji",
      purpose: "test",
      seed: 5,
      steps: 40,
      seconds: 8,
      samplesPerSecond: (40 * 256) / 8,
      styleTop1: 0.5,
      chance: 1 / 150,
      unseenChance: 1 / 100,
      pixelBaselineTop1: 0.25,
    });
    for (const key of ["styleTop5", "unseenTop1", "unseenTop5"] as const) {
      expect(result[key]).toBeGreaterThan(0);
      expect(result[key]).toBeLessThanOrEqual(1);
    }
  });

  it("survives JSON unchanged", () => {
    expect(JSON.parse(JSON.stringify(result))).toEqual(result);
  });
});

it("resultRows has the pixel baseline for test A only", () => {
  expect(resultRows(result).map(({ pixelTop1 }) => pixelTop1)).toEqual([0.25, 0.75, undefined, undefined]);
});

it.each([
  [0.239, "23.9\u00a0%"],
  [0.000608, "0.06\u00a0%"],
  [0, "0.0\u00a0%"],
  [1, "100.0\u00a0%"],
])("percent(%p)", (fraction, text) => {
  expect(percent(fraction)).toBe(text);
});

it("minutes rounds to seconds", () => {
  expect([minutes(271.6), minutes(5), minutes(-1)]).toEqual(["4:32", "0:05", "0:00"]);
});
