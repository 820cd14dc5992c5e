import { warmupCosine } from "../../lib/optim/schedule";

// The published recipe of EVA02-CLIP-B-16: base rate 2e-4.
test.each([
  [0, 1e-7],
  [999, 1e-4],
  [1999, 2e-4],
  [2000, 2e-4],
  [33000, 1e-4],
  [63999, 1.2838e-13],
])("step %i", (step, rate) => {
  const actual = 2e-4 * warmupCosine(step, { warmupSteps: 2000, totalSteps: 64000 });
  expect(Math.abs(actual - rate) / rate).toBeLessThan(1e-4);
});

test("without warm-up it starts at the full rate", () => {
  expect(warmupCosine(0, { warmupSteps: 0, totalSteps: 10 })).toBe(1);
});
