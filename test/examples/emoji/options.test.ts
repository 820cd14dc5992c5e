import { parseOptions } from "../../../examples/emoji/options";
import { DEFAULT_STEPS } from "../../../examples/emoji/recipe";

describe("parseOptions", () => {
  it("defaults to the published experiment", () => {
    expect(parseOptions([])).toMatchObject({
      testStyle: "twemoji",
      seed: 0,
      steps: DEFAULT_STEPS,
      optimizer: "lamb",
      validate: false,
      precision: expect.stringMatching(/^(f32|bf16)$/),
      out: "runs/demo",
    });
  });

  it("reads every option", () => {
    const argv =
      "--test-style noto --seed 7 --steps 50 --optimizer adamw --validate --precision bf16 --threads 1";
    expect(parseOptions(argv.split(" "))).toMatchObject({
      testStyle: "noto",
      seed: 7,
      steps: 50,
      optimizer: "adamw",
      validate: true,
      precision: "bf16",
      threads: 1,
    });
  });
});
