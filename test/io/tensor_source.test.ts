import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MappedFile } from "../../lib/io/mapped_file";
import {
  readFloat32,
  rowMajorStrides,
  type StoredDtype,
  type StoredTensor,
} from "../../lib/io/tensor_source";

let directory: string;
beforeEach(async () => {
  directory = await fs.mkdtemp(join(tmpdir(), "tensors-"));
});
afterEach(() => fs.rm(directory, { recursive: true }));

async function stored(data: ArrayBufferView, dtype: StoredDtype, shape: number[]): Promise<StoredTensor> {
  const path = join(directory, dtype);
  await fs.writeFile(path, Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  return { dtype, shape, strides: rowMajorStrides(shape), file: await MappedFile.open(path), offset: 0 };
}

test.each<[StoredDtype, ArrayBufferView, number[]]>([
  ["F64", Float64Array.of(1.5, -1e-40, Number.POSITIVE_INFINITY), [1.5, Math.fround(-1e-40), Infinity]],
  ["F32", Float32Array.of(1.5, -1e-40, Number.NaN), [1.5, Math.fround(-1e-40), Number.NaN]],
  ["F16", Uint16Array.of(0x3e00, 0x8001, 0x7e00), [1.5, -(2 ** -24), Number.NaN]],
  ["BF16", Uint16Array.of(0x3fc0, 0x8001, 0xff80), [1.5, -(2 ** -133), -Infinity]],
])("readFloat32 of %s", async (dtype, data, expected) => {
  expect([...(await readFloat32(await stored(data, dtype, [3])))]).toEqual(expected);
});

test("readFloat32 follows the strides, in parts", async () => {
  const [rows, columns] = [700, 900];
  const data = Float32Array.from({ length: rows * columns }, (_, i) => i);
  const tensor = await stored(data, "F32", [rows, columns]);
  const turned = await readFloat32({ ...tensor, shape: [columns, rows], strides: [1, columns] });
  for (const [row, column] of [
    [0, 0],
    [1, 2],
    [899, 699],
    [450, 333],
  ] as const) {
    expect(turned[row * rows + column]).toBe(column * columns + row);
  }
  expect([...(await readFloat32({ ...tensor, shape: [2, 2], strides: [0, 3], offset: 4 }))]).toEqual([
    1, 4, 1, 4,
  ]);
  expect((await readFloat32({ ...tensor, shape: [3, 0], strides: [0, 1] })).length).toBe(0);
});

test("readFloat32 refuses integers, and views outside the file", async () => {
  const code = "ERR_EVACLIP_INVALID_ARGUMENT";
  const integers = await stored(Int32Array.of(1), "I32", [1]);
  await expect(readFloat32(integers)).rejects.toMatchObject({ code, details: { dtype: "I32" } });
  const tensor = await stored(Float32Array.of(1, 2, 3, 4), "F32", [4]);
  const views: Partial<StoredTensor>[] = [
    { offset: 4 },
    { shape: [5] },
    { strides: [2] },
    { shape: [2, 2], strides: [3, 2] },
    { strides: [] },
    { offset: -4 },
    { offset: 0.5 },
    { offset: Number.NaN },
  ];
  for (const view of views) {
    await expect(readFloat32({ ...tensor, ...view })).rejects.toMatchObject({ code });
  }
});

test("readFloat32 of a truncated or closed file is an error", async () => {
  const tensor = await stored(new Float32Array(1000), "F32", [1000]);
  await fs.truncate(tensor.file.path, 2000);
  await expect(readFloat32(tensor)).rejects.toMatchObject({ code: "ERR_EVACLIP_IO" });
  tensor.file.close();
  await expect(readFloat32(tensor)).rejects.toMatchObject({ code: "ERR_EVACLIP_DISPOSED" });
});
