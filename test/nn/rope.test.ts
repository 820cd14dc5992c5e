import { ropeTable } from "../../lib/nn/rope";

/** (cos, sin) of element j of the full table's row for patch p: rows turn the first half of a head, columns the second. */
function entry(grid: number, headDim: number, patch: number, j: number): [number, number] {
  const table = ropeTable({ grid, headDim, pretrainedGrid: 16, interpolate: true });
  const half = headDim / 2;
  const coordinate = j < half ? Math.floor(patch / grid) : patch % grid;
  const at = (coordinate * (headDim / 4) + Math.floor((j % half) / 2)) * 2;
  return [table[at]!, table[at + 1]!];
}

// Values of the published code: EVA02-CLIP-B-16 at 224 (grid 14) and L-14 at 336 (grid 24).
test.each([
  [14, 1, 32, 0.414997, 0.909823],
  [14, 1, 34, 0.800495, 0.59934],
  [14, 14, 0, 0.414997, 0.909823],
  [14, 195, 0, -0.659366, 0.751822],
  [14, 195, 31, 0.999997, 0.002642],
  [14, 195, 63, 0.999997, 0.002642],
  [14, 0, 7, 1, 0],
  [24, 1, 32, 0.785887, 0.61837],
  [24, 24, 0, 0.785887, 0.61837],
  [24, 575, 0, -0.930643, 0.365928],
  [24, 575, 62, 0.999996, 0.002727],
])("grid %i, patch %i, element %i", (grid, patch, j, cos, sin) => {
  const [actualCos, actualSin] = entry(grid, 64, patch, j);
  expect(actualCos).toBeCloseTo(cos, 5);
  expect(actualSin).toBeCloseTo(sin, 5);
});

test("without interpolation, positions are the patches' own", () => {
  const table = ropeTable({ grid: 4, headDim: 8, pretrainedGrid: 16, interpolate: false });
  expect(table[2 * 4]).toBeCloseTo(Math.cos(2), 6);
});
