import { compile, spec } from "../../lib/compile";
import { Device } from "../../lib/device";
import { Lamb, type LambOptions } from "../../lib/optim/lamb";
import { Parameter } from "../../lib/parameter";

const START = [0.5, -0.25, 1, 2];
const GRADIENTS = [
  [0.1, -0.2, 0.3, 0.4],
  [-0.1, 0.1, 0.2, -0.3],
];

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
});
afterAll(() => device.dispose());

/** The parameter and its trust ratio after each of the two steps. */
async function twoSteps(options: LambOptions, weightDecay = 0.05) {
  const parameter = new Parameter("weight", [2, 2]);
  parameter.allocate(device);
  await parameter.write(Float32Array.from(START));
  const rule = { parameter, tower: "image", layerScale: 1, learningRate: 0.01, weightDecay } as const;
  const optimizer = new Lamb([rule], options);
  await optimizer.allocate(device);
  const inputs = { gradient: spec("f32", [2, 2]), learningRates: spec("f32", [1]), step: spec("i32", []) };
  const program = await compile(device, inputs, ({ gradient, learningRates, step }) => {
    const { gradientNorm, trustRatios } = optimizer.update([gradient], { learningRates, step });
    return { gradientNorm, trustRatios: trustRatios! };
  });
  const found = [];
  for (const [i, gradient] of GRADIENTS.entries()) {
    const time = { learningRates: optimizer.learningRatesAt(1), step: Int32Array.of(i + 1) };
    const { gradientNorm, trustRatios } = await program({ gradient: Float32Array.from(gradient), ...time });
    const { data } = await parameter.read();
    found.push({ norm: gradientNorm.item(), ratio: trustRatios.item(), values: Array.from(data) });
  }
  program.dispose();
  optimizer.dispose();
  parameter.dispose();
  return found;
}

// Golden values of the published implementations: DeepSpeed's FusedLamb, and timm's for apex and paper.
const published = {
  deepspeed: [
    [1.52702029, [0.48419099, -0.2344604, 0.98365039, 1.98257053]],
    [2.21106417, [0.48479402, -0.22828318, 0.96101702, 1.97829728]],
  ],
  apex: [
    [1.10028294, [0.48872221, -0.23885969, 0.98844707, 1.98789692]],
    [2.1241696, [0.48932112, -0.23293222, 0.96674724, 1.98388563]],
  ],
} as const;

test.each([
  ["deepspeed", "deepspeed"],
  ["apex", "apex"],
  ["paper", "apex"],
] as const)("%s gives the published numbers", async (variant, golden) => {
  const steps = await twoSteps({ variant });
  published[golden].forEach(([ratio, values], i) => {
    expect(steps[i]!.ratio).toBeCloseTo(ratio, 5);
    values.forEach((value, j) => expect(steps[i]!.values[j]).toBeCloseTo(value, 6));
  });
  expect(steps[0]!.norm).toBeCloseTo(Math.sqrt(0.3), 6);
});

test("without weight decay apex takes the trust ratio as 1, the others do not", async () => {
  const ratios = async (options: LambOptions) => (await twoSteps(options, 0)).map(({ ratio }) => ratio);
  expect(await ratios({ variant: "apex" })).toEqual([1, 1]);
  expect(await ratios({ variant: "apex", adapt: "all" })).not.toEqual([1, 1]);
  expect(await ratios({ variant: "paper" })).not.toEqual([1, 1]);
  expect(await ratios({ variant: "deepspeed" })).not.toEqual([1, 1]);
});

test("which tensors have a trust ratio is among the settings that runs are compared by", () => {
  const parameter = new Parameter("weight", [2, 2]);
  const rule = { parameter, tower: "image", layerScale: 1, learningRate: 0.01, weightDecay: 0.05 } as const;
  const describe = (options: LambOptions) => new Lamb([rule], options).describe();
  expect(describe({})).toMatchObject({ variant: "apex", adapt: "decayed" });
  expect(describe({ variant: "paper" })).toMatchObject({ variant: "paper", adapt: "all" });
  expect(describe({ adapt: "all" })).toEqual({ ...describe({}), adapt: "all" });
});
