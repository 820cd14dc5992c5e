import { EvaClipError, isEvaClipError } from "eva-clip";

describe("isEvaClipError", () => {
  test("tells errors of this package by their code, also those of another copy or realm", () => {
    const error = new EvaClipError("ERR_EVACLIP_IO", "no such file");
    const foreign = Object.assign(new Error("no such file"), { code: "ERR_EVACLIP_IO" });
    for (const each of [error, foreign]) {
      expect(isEvaClipError(each)).toBe(true);
      expect(isEvaClipError(each, "ERR_EVACLIP_IO")).toBe(true);
      expect(isEvaClipError(each, "ERR_EVACLIP_DATA")).toBe(false);
    }
  });

  test("refuses everything else", () => {
    for (const other of [
      undefined,
      null,
      "ERR_EVACLIP_IO",
      {},
      Object.assign(new Error(), { code: "ENOENT" }),
    ])
      expect(isEvaClipError(other)).toBe(false);
  });
});
