import sharp from "sharp";
import { blockMeans, heatMapImage, quantile, submatrix } from "../../../../examples/emoji/report/heat_map";

const matrix = { values: Float32Array.from({ length: 16 }, (_, i) => i), size: 4 };

it("submatrix selects rows and columns", () => {
  expect([...submatrix(matrix, [3, 1]).values]).toEqual([15, 13, 7, 5]);
});

it("blockMeans averages blocks", () => {
  expect([...blockMeans(matrix, 2).values]).toEqual([2.5, 4.5, 10.5, 12.5]);
});

it("quantile finds both ends", () => {
  expect([quantile(matrix, 0), quantile(matrix, 0.5), quantile(matrix, 1)]).toEqual([0, 8, 15]);
});

it("heatMapImage has one pixel per cell, from dark to light", async () => {
  const uri = await heatMapImage(matrix, 0, 15);
  const png = sharp(Buffer.from(uri.slice(uri.indexOf(",") + 1), "base64"));
  const { data, info } = await png.raw().toBuffer({ resolveWithObject: true });
  expect([info.width, info.height]).toEqual([4, 4]);
  expect([...data.subarray(0, 3)]).toEqual([68, 1, 84]);
  expect([...data.subarray(-3)]).toEqual([253, 231, 37]);
});
