import { dotProducts, topIndices } from "../../../examples/emoji/similarity";
import { Device } from "../../../lib/device";

describe("dotProducts", () => {
  it.each([1, 3, 4, 7])("multiplies every row by every one of %i rows", async (rows) => {
    const width = 3;
    const a = Float32Array.from({ length: 2 * width }, (_, i) => i + 1);
    const b = Float32Array.from({ length: rows * width }, (_, i) => (i % 5) - 2);
    const expected = [0, 1].flatMap((i) =>
      Array.from({ length: rows }, (_, j) =>
        [0, 1, 2].reduce((sum, k) => sum + a[i * width + k]! * b[j * width + k]!, 0),
      ),
    );
    const device = await Device.open("cpu", { threads: 1 });
    try {
      expect([...(await dotProducts(device, a, b, width))]).toEqual(expected);
    } finally {
      await device.dispose();
    }
  });
});

describe("topIndices", () => {
  it("orders by score, ties by index", () => {
    expect(topIndices([1, 5, 3, 5, 2], 3)).toEqual([1, 3, 2]);
  });

  it("gives all if there are fewer", () => {
    expect(topIndices([1, 2], 5)).toEqual([1, 0]);
  });
});
