import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile } from "../lib/compile";
import { Device } from "../lib/device";
import { HostTensor } from "../lib/host_tensor";
import { MappedFile } from "../lib/io/mapped_file";
import { rowMajorStrides, type StoredTensor } from "../lib/io/tensor_source";
import type { TensorPiece } from "../lib/io/tensor_view";
import { initializeParameters } from "../lib/nn/initialize_parameters";
import { Parameter } from "../lib/parameter";

let device: Device;
let directory: string;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 2 });
  directory = await fs.mkdtemp(join(tmpdir(), "parameter-"));
});
afterAll(async () => {
  await device.dispose();
  await fs.rm(directory, { recursive: true });
});

async function stored(values: readonly number[], shape: number[], name = "tensor"): Promise<StoredTensor> {
  const path = join(directory, name);
  await fs.writeFile(path, Buffer.from(Float32Array.from(values).buffer));
  return {
    dtype: "F32",
    shape,
    strides: rowMajorStrides(shape),
    file: await MappedFile.open(path),
    offset: 0,
  };
}

async function parameterOf(shape: number[], dtype: "f32" | "bf16" = "f32"): Promise<Parameter> {
  const parameter = new Parameter("weight", shape);
  parameter.allocate(device, dtype);
  const array = dtype === "f32" ? new Float32Array(parameter.size).fill(-1) : new Uint16Array(parameter.size);
  await parameter.write(array);
  return parameter;
}

const sequence = (count: number) => Array.from({ length: count }, (_, i) => i);

describe("load", () => {
  test("fills the pieces, and nothing else", async () => {
    const tensor = await stored(sequence(6), [3, 2]);
    const parameter = await parameterOf([4, 3]);
    await parameter.load([
      { tensor, transpose: true },
      { tensor, rows: [1, 2], at: 9 },
    ]);
    expect([...(await parameter.read()).data]).toEqual([0, 2, 4, 1, 3, 5, -1, -1, -1, 2, 3, -1]);
    await parameter.load([{ tensor, rows: [1, 3], transpose: true, at: 4 }]);
    expect([...(await parameter.read()).data].slice(4, 8)).toEqual([2, 4, 3, 5]);
    parameter.dispose();
  });

  test("rounds to the parameter's type", async () => {
    const tensor = await stored([1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, Number.NaN], [4]);
    const parameter = await parameterOf([4], "bf16");
    await parameter.load([{ tensor }]);
    expect([...(await parameter.read()).toFloat32()]).toEqual([1, 1, 1 + 2 ** -6, Number.NaN]);
    parameter.dispose();
  });

  test("keeps the file open until it is done", async () => {
    const tensor = await stored(sequence(1 << 20), [1024, 1024]);
    const parameter = await parameterOf([1024, 1024]);
    const loading = parameter.load([{ tensor, transpose: true }]);
    tensor.file.close();
    await loading;
    const { data } = await parameter.read();
    expect([data[1], data[1024], data[(1 << 20) - 1]]).toEqual([1024, 1, (1 << 20) - 1]);
    await expect(parameter.load([{ tensor }])).rejects.toMatchObject({ code: "ERR_EVACLIP_DISPOSED" });
    parameter.dispose();
  });

  test.each<[string, (tensor: StoredTensor) => TensorPiece, RegExp]>([
    [
      "more than the parameter holds",
      (tensor) => ({ tensor, at: 1 }),
      /piece of 6 elements at element 1 exceeds/,
    ],
    ["a negative offset", (tensor) => ({ tensor, at: -1 }), /pieces\[1\]\.at must be at least 0, found -1/],
    ["rows out of range", (tensor) => ({ tensor, rows: [2, 4] }), /weight: cannot take rows 2 to 4/],
    ["rows that run backwards", (tensor) => ({ tensor, rows: [2, 1] }), /cannot take rows 2 to 1/],
    ["a view beyond the file", (tensor) => ({ tensor: { ...tensor, offset: 4 } }), /exceeds its 24 bytes/],
    [
      "a transposition of one dimension",
      (tensor) => ({ tensor: { ...tensor, shape: [6], strides: [1] }, transpose: true }),
      /cannot swap the two dimensions of a stored tensor \[6\]/,
    ],
    [
      "integers",
      (tensor) => ({ tensor: { ...tensor, dtype: "I32" } }),
      /is I32; expected F64, F32, F16, BF16/,
    ],
  ])("refuses %s before anything changes", async (_, pieceOf, message) => {
    const tensor = await stored(sequence(6), [3, 2]);
    const parameter = await parameterOf([2, 3]);
    await expect(parameter.load([{ tensor }, pieceOf(tensor)])).rejects.toMatchObject({
      code: "ERR_EVACLIP_INVALID_ARGUMENT",
      message: expect.stringMatching(message),
    });
    expect([...(await parameter.read()).data]).toEqual(new Array(6).fill(-1));
    parameter.dispose();
  });

  test("changes nothing when a file was truncated after it was opened", async () => {
    const [whole, cut] = [await stored(sequence(6), [6], "whole"), await stored(sequence(6), [6], "cut")];
    const parameter = await parameterOf([12]);
    await fs.truncate(cut.file.path, 20);
    const message = expect.stringMatching(/cut was truncated.*expected at least 24 bytes, found 20/);
    const loading = parameter.load([{ tensor: whole }, { tensor: cut, at: 6 }]);
    await expect(loading).rejects.toMatchObject({ code: "ERR_EVACLIP_IO", message });
    expect([...(await parameter.read()).data]).toEqual(new Array(12).fill(-1));
    parameter.dispose();
  });

  test("refuses anything but a tensor of a file", async () => {
    const tensor = await stored(sequence(6), [6]);
    const parameter = await parameterOf([6]);
    const code = "ERR_EVACLIP_INVALID_ARGUMENT";
    for (const native of [{}, null, device.native, 3]) {
      const file = Object.assign(Object.create(MappedFile.prototype) as MappedFile, { path: "x", native });
      await expect(parameter.load([{ tensor: { ...tensor, file } }])).rejects.toMatchObject({ code });
    }
    parameter.dispose();
  });
});

describe("a parameter that is stored with padding", () => {
  async function storedContent(parameter: Parameter): Promise<number[]> {
    const program = await compile(device, {}, () => ({ parameter }));
    const { parameter: content } = await program({});
    program.dispose();
    return [...content.toFloat32()];
  }

  test("is written, read and loaded without it, and is zero there", async () => {
    const parameter = new Parameter("weight", [2, 3], { storedShape: [3, 4] });
    expect(parameter.size).toBe(6);
    parameter.allocate(device);
    await parameter.write(Float32Array.of(1, 2, 3, 4, 5, 6));
    expect([...(await parameter.read()).data]).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await storedContent(parameter)).toEqual([1, 2, 3, 0, 4, 5, 6, 0, 0, 0, 0, 0]);
    await expect(parameter.write(new Float32Array(12))).rejects.toMatchObject({ code: "ERR_EVACLIP_SHAPE" });

    const tensor = await stored([7, 8, 9, 10], [4]);
    await parameter.load([{ tensor, at: 1 }]);
    expect(await storedContent(parameter)).toEqual([1, 7, 8, 0, 9, 10, 6, 0, 0, 0, 0, 0]);
    await expect(parameter.load([{ tensor, at: 3 }])).rejects.toMatchObject({
      message: expect.stringContaining("exceeds a parameter of shape [2, 3]"),
    });
    const content = new HostTensor("f32", [3, 4], Float32Array.from(await storedContent(parameter)));
    expect([...parameter.withoutPadding(content).data]).toEqual([1, 7, 8, 9, 10, 6]);
    parameter.dispose();
  });

  test("is written, read and loaded as its dimensions, of which the stored shape joins the last", async () => {
    const parameter = new Parameter("weight", [2, 3, 1, 2], { storedShape: [2, 8] });
    expect([parameter.size, parameter.shape]).toEqual([12, [2, 3, 1, 2]]);
    parameter.allocate(device);
    await parameter.write(Float32Array.from(sequence(12)));
    expect(await parameter.read()).toMatchObject({
      shape: [2, 3, 1, 2],
      data: Float32Array.from(sequence(12)),
    });
    expect(await storedContent(parameter)).toEqual([0, 1, 2, 3, 4, 5, 0, 0, 6, 7, 8, 9, 10, 11, 0, 0]);

    const rows = await stored([20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31], [2, 3, 1, 2]);
    await parameter.load([{ tensor: rows, rows: [1, 2], at: 3 }]);
    const content = [0, 1, 2, 26, 27, 28, 0, 0, 29, 30, 31, 9, 10, 11, 0, 0];
    expect(await storedContent(parameter)).toEqual(content);
    const gradient = parameter.withoutPadding(new HostTensor("f32", [2, 8], Float32Array.from(content)));
    expect(gradient).toEqual(await parameter.read());
    await expect(parameter.load([{ tensor: rows, at: 1 }])).rejects.toMatchObject({
      code: "ERR_EVACLIP_INVALID_ARGUMENT",
    });

    parameter.dispose();
    parameter.allocate(device, "bf16");
    await parameter.load([{ tensor: rows }]);
    expect([...(await parameter.read()).toFloat32()]).toEqual(sequence(12).map((value) => value + 20));
    parameter.dispose();
  });

  test("has the initial values that it has without padding", async () => {
    const initial = { kind: "normal", std: 1 } as const;
    const shape = [5, 3, 7, 7];
    const contents = [undefined, [5, 147], [5, 192], [6, 3, 7, 8]].map(async (storedShape) => {
      const parameter = new Parameter("weight", shape, { storedShape, initial });
      parameter.allocate(device);
      await initializeParameters(device, [parameter], 1);
      const [content, held] = [await parameter.read(), await storedContent(parameter)];
      parameter.dispose();
      return { content, nonzero: held.filter((value) => value !== 0).length };
    });
    const [plain, ...others] = await Promise.all(contents);
    expect(plain!.nonzero).toBe(5 * 147);
    expect(others).toEqual([plain, plain, plain]);
  });

  test("is read in parts where it is large", async () => {
    const shape = [1500, 1001];
    const values = sequence(1500 * 1001);
    const parameter = new Parameter("weight", shape, { storedShape: [1500, 1024] });
    parameter.allocate(device);
    await parameter.load([{ tensor: await stored(values, shape) }]);
    const { data } = await parameter.read();
    expect(data.every((value, i) => value === i)).toBe(true);
    await parameter.write(data.map((value) => value + 1));
    expect((await parameter.read()).data.every((value, i) => value === i + 1)).toBe(true);
    const content = await storedContent(parameter);
    expect(content.slice(1000, 1026)).toEqual([1001, ...new Array(23).fill(0), 1002, 1003]);
    expect(content.reduce((sum, value) => sum + Number(value !== 0), 0)).toBe(values.length);
    parameter.dispose();
  });

  test.each([
    [
      [2, 3],
      [2, 2],
    ],
    [
      [2, 3],
      [1, 3],
    ],
    [[2, 3], [5]],
    [[2, 3], []],
    [
      [2, 3],
      [2, 3, 1],
    ],
    [
      [2, 3, 4],
      [2, 11],
    ],
    [
      [2, 3, 4],
      [2, 5, 4],
    ],
  ])("refuses to store %j as %j", (shape, larger) => {
    const parameter = new Parameter("weight", shape, { storedShape: larger });
    expect(() => parameter.allocate(device)).toThrow(
      expect.objectContaining({
        code: "ERR_EVACLIP_INVALID_ARGUMENT",
        message: expect.stringContaining("stored as"),
      }),
    );
  });
});
