import { checkSchedule, scheduleFactor, warmupCosine } from "../../lib/optim/schedule";

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

describe("other schedules", () => {
  const steps = { warmupSteps: 4, totalSteps: 20 };

  test("const stays after the warm-up", () => {
    const at = [0, 3, 4, 19].map((step) => scheduleFactor(step, { kind: "const", ...steps }));
    expect(at).toEqual([0.25, 1, 1, 1]);
  });

  test("const-cooldown falls linearly to 0 in its last steps", () => {
    const schedule = { kind: "const-cooldown", ...steps, cooldownSteps: 5 } as const;
    expect([0, 4, 15, 16, 19, 20].map((step) => scheduleFactor(step, schedule))).toEqual([
      0.25, 1, 1, 0.8, 0.2, 0,
    ]);
  });

  test("cosine is the default", () => {
    for (const step of [0, 3, 4, 11, 19]) expect(scheduleFactor(step, steps)).toBe(warmupCosine(step, steps));
  });

  test.each([
    ["kind", { ...steps, kind: "linear" as never }],
    ["warmupSteps", { ...steps, warmupSteps: -1 }],
    ["totalSteps", { ...steps, totalSteps: 1.5 }],
  ])("refuses a wrong %s", (name, schedule) => {
    expect(() => checkSchedule(schedule)).toThrow(name);
  });
});
