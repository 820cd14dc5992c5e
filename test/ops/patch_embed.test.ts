import { Device } from "../../lib/device";
import { HostTensor } from "../../lib/host_tensor";
import { addPositions, clipPixels, patchProjection, patchRows } from "../../lib/ops/patch_embed";
import { checkGradients, evaluate, f32 } from "../support/gradient_check";
import { noise, relativeError } from "../support/numbers";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 2 });
});
afterAll(() => device.dispose());

const [batch, side, patchSize, grid] = [2, 21, 7, 3];
const columns = 3 * patchSize * patchSize;
const kept = new HostTensor("i32", [batch, 2], Int32Array.of(8, 1, 0, 5));

/** The channel, line and column of the pixel in element i of the rows. */
function place(i: number, patches: number, patchOf: (row: number) => number) {
  const row = Math.floor(i / columns);
  const patch = patchOf(row);
  return {
    image: Math.floor(row / patches),
    channel: Math.floor((i % columns) / (patchSize * patchSize)),
    line: Math.floor(patch / grid) * patchSize + (Math.floor(i / patchSize) % patchSize),
    column: (patch % grid) * patchSize + (i % patchSize),
  };
}

describe("patchRows", () => {
  const bytes = Uint8Array.from({ length: batch * side * side * 3 }, (_, i) => (i * 89 + (i >> 5)) % 256);
  const images = new HostTensor("u8", [batch, side, side, 3], bytes);

  test("normalizes the bytes of every patch", async () => {
    const y = await evaluate(device, { images }, (x) => patchRows(x.images!, { patchSize }));
    expect(y.shape).toEqual([batch, 9, columns]);
    const expected = Float64Array.from(y.data, (_, i) => {
      const { image, channel, line, column } = place(i, 9, (row) => row % 9);
      const byte = bytes[((image * side + line) * side + column) * 3 + channel]!;
      return (byte / 255 - clipPixels.mean[channel]!) / clipPixels.std[channel]!;
    });
    expect(relativeError(y.toFloat32(), expected)).toBeLessThan(1e-6);
  });

  test("copies kept patches of float images", async () => {
    const planes = f32([batch, 3, side, side]);
    const y = await evaluate(device, { planes, kept }, (x) =>
      patchRows(x.planes!, { patchSize, kept: x.kept! }),
    );
    const expected = Float32Array.from(y.data, (_, i) => {
      const { image, channel, line, column } = place(i, 2, (row) => kept.data[row]!);
      return planes.data[((image * 3 + channel) * side + line) * side + column]!;
    });
    expect(y.data).toEqual(expected);
  });

  test("ends each row with as many zeros as asked for", async () => {
    const padding = 45;
    const [y, plain] = await Promise.all(
      [{ padding }, {}].map((more) =>
        evaluate(device, { images }, (x) => patchRows(x.images!, { patchSize, dtype: "bf16", ...more })),
      ),
    );
    expect(y!.shape).toEqual([batch, 9, columns + padding]);
    const rows = Array.from({ length: batch * 9 }, (_, i) => [
      ...plain!.data.subarray(i * columns, (i + 1) * columns),
      ...new Array(padding).fill(0),
    ]);
    expect([...y!.data]).toEqual(rows.flat());
  });

  test.each([-1, 0.5, 1e9])("refuses %d zeros", async (padding) => {
    await expect(
      evaluate(device, { images }, (x) => patchRows(x.images!, { patchSize, padding })),
    ).rejects.toMatchObject({
      code: "ERR_EVACLIP_INVALID_ARGUMENT",
      message: expect.stringContaining("padding"),
    });
  });

  test("refuses an image that patches do not tile, and a patch out of range", async () => {
    await expect(
      evaluate(device, { images }, (x) => patchRows(x.images!, { patchSize: 8 })),
    ).rejects.toMatchObject({ message: expect.stringContaining("multiple of patch_size") });
    const outside = new HostTensor("i32", [batch, 2], Int32Array.of(8, 1, 9, 5));
    await expect(
      evaluate(device, { images, outside }, (x) => patchRows(x.images!, { patchSize, kept: x.outside! })),
    ).rejects.toMatchObject({
      code: "ERR_EVACLIP_DATA",
      message: expect.stringContaining("kept[2] is 9"),
    });
  });
});

describe("addPositions", () => {
  const width = 22;
  const parameters = {
    classToken: f32([1, 1, width], undefined, 2),
    positions: f32([1, 10, width], undefined, 3),
  };

  test("of all patches", async () => {
    const inputs = { x: f32([batch, 9, width]), ...parameters };
    const y = await checkGradients(device, inputs, ({ x, classToken, positions }) =>
      addPositions(x!, classToken!, positions!),
    );
    const expected = Float64Array.from(y, (_, i) => {
      const [image, token, c] = [Math.floor(i / (10 * width)), Math.floor(i / width) % 10, i % width];
      const base =
        token === 0 ? parameters.classToken.data[c]! : inputs.x.data[(image * 9 + token - 1) * width + c]!;
      return base + parameters.positions.data[token * width + c]!;
    });
    expect(relativeError(y, expected)).toBeLessThan(1e-6);
  });

  test("of kept patches", async () => {
    const inputs = { x: f32([batch, 2, width]), ...parameters, kept };
    const y = await checkGradients(device, inputs, ({ x, classToken, positions, kept }) =>
      addPositions(x!, classToken!, positions!, kept!),
    );
    const expected = Float64Array.from(y, (_, i) => {
      const [image, token, c] = [Math.floor(i / (3 * width)), Math.floor(i / width) % 3, i % width];
      if (token === 0) return parameters.classToken.data[c]! + parameters.positions.data[c]!;
      const position = 1 + kept.data[image * 2 + token - 1]!;
      return (
        inputs.x.data[(image * 2 + token - 1) * width + c]! + parameters.positions.data[position * width + c]!
      );
    });
    expect(relativeError(y, expected)).toBeLessThan(1e-6);
  });
});

test("patchProjection accumulates in double precision", async () => {
  const inputs = {
    x: f32([3, 5, 147]),
    weight: f32([19, 147], noise(19 * 147, 2)),
    bias: f32([19], undefined, 3),
  };
  const y = await checkGradients(device, inputs, ({ x, weight, bias }) =>
    patchProjection(x!, weight!, bias!),
  );
  const expected = Float64Array.from(y, (_, i) => {
    const row = Math.floor(i / 19) * 147;
    const column = i % 19;
    let total = inputs.bias.data[column]!;
    for (let k = 0; k < 147; k++) total += inputs.x.data[row + k]! * inputs.weight.data[column * 147 + k]!;
    return total;
  });
  expect(relativeError(y, expected)).toBeLessThan(1e-7);
});
