import { join } from "node:path";
import { openSafetensors } from "../../lib/io/safetensors";
import { resizeGrid, resizePatches, resizePositions } from "../../lib/weights/interpolate";
import { relativeError } from "../parity/relative_error";

const squares = Float32Array.from({ length: 16 }, (_, i) => i * i);

test("a 4 × 4 image to 3 × 3, edges or corners aligned", () => {
  const edges = [1.68172, 5.10185, 12.6979, 35.60533, 54.125, 76.82061, 136.34377, 169.96298, 207.75819];
  const corners = [0, 2.125, 9, 34, 54.125, 79, 144, 182.125, 225];
  expect(relativeError(resizeGrid(squares, 4, 3), edges)).toBeLessThan(1e-6);
  expect(relativeError(resizeGrid(squares, 4, 3, { alignCorners: true }), corners)).toBeLessThan(1e-6);
});

test("a 4 × 4 image to 6 × 6", () => {
  const firstRow = [-1.41541, -1.45226, -0.80067, 0.52289, 3.59115, 5.90152];
  expect(relativeError(resizeGrid(squares, 4, 6).subarray(0, 6), firstRow)).toBeLessThan(1e-5);
});

describe("the published code's numbers", () => {
  async function tensors(): Promise<Map<string, Float32Array>> {
    await using file = await openSafetensors(join(__dirname, "..", "fixtures", "interpolate.safetensors"));
    const found = new Map<string, Float32Array>();
    for (const name of file.tensors.keys()) found.set(name, (await file.read(name)) as Float32Array);
    return found;
  }

  test.each([3, 6])("positions of a 4 × 4 grid on %i × %i", async (to) => {
    const read = await tensors();
    const resized = resizePositions(read.get("pos_embed/in_4x4")!, 4, to);
    expect(relativeError(resized, read.get(`pos_embed/out_${to}x${to}`)!)).toBeLessThan(1e-6);
  });

  test.each([16, 8])("patches of 14 pixels as patches of %i", async (to) => {
    const read = await tensors();
    const resized = resizePatches(read.get("patch_embed/in_14")!, 14, to);
    expect(relativeError(resized, read.get(`patch_embed/out_${to}`)!)).toBeLessThan(1e-6);
  });
});

test("the same size changes nothing", () => {
  expect(resizeGrid(squares, 4, 4)).toEqual(squares);
});
