import { TrainingProgress } from "../../../examples/emoji/progress";

function record(isTTY: boolean) {
  const written: string[] = [];
  let time = 0;
  const out = { isTTY, write: (text: string) => written.push(text) };
  const progress = new TrainingProgress(100, 10, out, () => time);
  const advance = (step: number, milliseconds: number) => {
    time += milliseconds;
    progress.update({ step, loss: 1.5, accuracy: 0.25 });
  };
  return { written, progress, advance };
}

describe("TrainingProgress", () => {
  it("shows loss, speed and the time that is left", () => {
    const { written, advance } = record(true);
    advance(25, 5000);
    expect(written[0]).toContain("25/100  loss 1.500  batch accuracy 25 %  50 samples/s  0:15 left");
  });

  it("redraws a terminal at most ten times a second, and always the last step", () => {
    const { written, progress, advance } = record(true);
    for (let step = 1; step <= 100; step++) advance(step, step < 100 ? 50 : 1);
    expect(written).toHaveLength(51);
    expect(written.at(-1)).toContain("100/100");
    progress.finish();
    expect(written.at(-1)).toBe("\n");
  });

  it("writes about twenty plain lines to a file", () => {
    const { written, advance } = record(false);
    for (let step = 1; step <= 100; step++) advance(step, 50);
    expect(written).toHaveLength(21);
    expect(written.every((line) => line.endsWith("\n") && !line.includes("\r"))).toBe(true);
  });
});
