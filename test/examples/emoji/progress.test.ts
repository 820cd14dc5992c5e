import { PassThrough } from "node:stream";
import { TrainingProgress } from "../../../examples/emoji/progress";

/** What is written for 100 steps. */
function written(isTTY: boolean): string {
  const stream = Object.assign(new PassThrough(), { isTTY });
  const progress = new TrainingProgress(100, 10, stream);
  for (let step = 1; step <= 100; step++) progress.update({ step, loss: 1.5, accuracy: 0.25 });
  progress.finish();
  return (stream.read() as Buffer).toString();
}

describe("TrainingProgress", () => {
  it("ends with the last step, its loss, accuracy and speed", () => {
    expect(written(true)).toMatch(/100\/100 {2}loss 1\.500 {2}in-batch accuracy 25 % {2}[\d,]+ samples\/s/);
  });

  it("writes plain lines to a file, and not one per step", () => {
    const lines = written(false).trim().split("\n");
    expect(lines.length).toBeLessThan(4);
    expect(lines.join()).not.toContain("\x1b");
  });
});
