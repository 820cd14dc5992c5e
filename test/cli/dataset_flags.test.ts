import { cropScale } from "../../lib/cli/flag_values";
import { captureCli } from "../support/run_cli";

test("the library's options of data sets are flags", async () => {
  const { out } = await captureCli("train", "--help");
  for (const flag of [
    ...["--damaged-shards", "--shuffle-buffer", "--image-key", "--text-key", "--json-text-key"],
    ...["--max-skips", "--crop-scale", "--text-bucket"],
  ]) {
    expect(out).toContain(flag);
  }
  expect(cropScale("0.4,1")).toEqual([0.4, 1]);
  for (const text of ["0.4", "1,0.4", "0,1", "0.4,1,1", "a,b"])
    expect(() => cropScale(text)).toThrow(/two fractions|number/);
});
