import { Device } from "../../lib/device";
import { HostTensor } from "../../lib/host_tensor";
import { affineSample } from "../../lib/ops/affine_sample";
import { evaluate, f32 } from "../support/gradient_check";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 2 });
});
afterAll(() => device.dispose());

const unchanged = [1, 0, 0, 0, 1, 0];
const sameColours = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0];

interface Drawing {
  /** Rows of RGBA. */
  image: number[];
  side: number;
  size?: number;
  transform?: number[];
  background?: number[];
  color?: number[];
}

async function draw({ image, side, size = side, ...options }: Drawing): Promise<number[]> {
  const { transform = unchanged, background = [0, 0, 0], color = sameColours } = options;
  const inputs = {
    images: new HostTensor("u8", [1, side, side, 4], Uint8Array.from(image)),
    transform: f32([1, 2, 3], Float32Array.from(transform)),
    background: f32([1, 3], Float32Array.from(background)),
    color: f32([1, 3, 4], Float32Array.from(color)),
  };
  const y = await evaluate(device, inputs, (x) =>
    affineSample(x.images!, {
      transform: x.transform!,
      background: x.background!,
      color: x.color!,
      size,
    }),
  );
  return [...y.data];
}

const square = [10, 20, 30, 255, 40, 50, 60, 255, 70, 80, 90, 255, 100, 110, 120, 255];
const pixels = (...rgb: number[]) => rgb;

describe("affineSample", () => {
  test("the identity returns an opaque image unchanged", async () => {
    expect(await draw({ image: square, side: 2 })).toEqual([
      10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120,
    ]);
  });

  test("mirrors", async () => {
    const mirrored = await draw({ image: square, side: 2, transform: [-1, 0, 0, 0, 1, 0] });
    expect(mirrored).toEqual([40, 50, 60, 10, 20, 30, 100, 110, 120, 70, 80, 90]);
  });

  test("averages four pixels at their shared corner", async () => {
    expect(await draw({ image: square, side: 2, size: 1 })).toEqual(pixels(55, 65, 75));
  });

  test("composites translucent pixels over the background", async () => {
    const [r, g, b] = await draw({ image: [200, 100, 0, 51], side: 1, background: [1, 0.5, 0] });
    expect([r, g, b]).toEqual(pixels(0.2 * 200 + 0.8 * 255, 0.2 * 100 + 0.8 * 127.5, 0).map(Math.round));
  });

  test("a transparent pixel does not bleed its color into its neighbor", async () => {
    const image = [255, 0, 0, 0, 0, 0, 255, 255, 255, 0, 0, 0, 0, 0, 255, 255];
    expect(await draw({ image, side: 2, size: 1 })).toEqual(pixels(0, 0, Math.round(255 / 2)));
  });

  test("shows the background outside the image", async () => {
    const shifted = await draw({
      image: square,
      side: 2,
      transform: [1, 0, 1, 0, 1, 0],
      background: [0, 1, 0],
    });
    expect(shifted).toEqual([40, 50, 60, 0, 255, 0, 100, 110, 120, 0, 255, 0]);
  });

  test("transforms colors, offset included, and clamps them", async () => {
    const color = [0, 1, 0, 0, 1, 0, 0, 0.1, 0, 0, 0, 2];
    const [r, g, b] = await draw({ image: [51, 102, 153, 255], side: 1, color });
    expect([r, g, b]).toEqual(pixels(102, Math.round(51 + 25.5), 255));
  });
});
