import { expectedPosition, probabilityWithin, rankAmong } from "../../lib/eval/rank";

test("without ties a rank is a position, and being within is all or nothing", () => {
  const rank = rankAmong(Float32Array.of(0.1, 0.9, 0.5, 0.3), [2]);
  expect(rank).toEqual({ above: 1, tiedWrong: 0, tiedRight: 1 });
  expect(expectedPosition(rank)).toBe(1);
  expect([1, 2, 5].map((k) => probabilityWithin(rank, k))).toEqual([0, 1, 1]);
});

test("ties count as the mean over all orders of the tied", () => {
  // 1 above; tied: two wrong ones and two right ones, in 24 orders.
  const scores = Float32Array.of(0.9, 0.5, 0.5, 0.5, 0.5, 0.1);
  const right = [2, 4];
  const orders = permutations([1, 2, 3, 4]);
  const positions = orders.map((order) => 1 + order.findIndex((i) => right.includes(i)));
  const rank = rankAmong(scores, right);
  expect(expectedPosition(rank)).toBeCloseTo(mean(positions), 12);
  for (let k = 0; k <= 7; k++) {
    expect(probabilityWithin(rank, k)).toBeCloseTo(mean(positions.map((p) => Number(p < k))), 12);
  }
});

function permutations(items: number[]): number[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item) =>
    permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest]),
  );
}

function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
