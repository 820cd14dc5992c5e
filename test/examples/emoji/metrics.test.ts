import { metricsOf } from "../../../examples/emoji/metrics";

const items = [
  { unseen: false, group: "b" },
  { unseen: true, group: "a" },
  { unseen: false, group: "b" },
  { unseen: true, group: "a" },
];

describe("metricsOf", () => {
  it("counts top-1 among all names, for seen concepts, and among the unseen", () => {
    // Image 0 is right; 1 prefers name 2, which is not unseen; 2 prefers name 0; 3 prefers name 1.
    const scores = Float32Array.of(0.9, 0, 0, 0, 0.1, 0.5, 0.6, 0, 0.8, 0, 0.7, 0, 0, 0.4, 0, 0.3);
    const metrics = metricsOf(scores, items);
    expect(metrics).toMatchObject({ names: 4, unseenNames: 2 });
    expect(metrics.style).toEqual({ top1: 0.25, top5: 1, top10: 1 });
    expect(metrics.styleSeen.top1).toBe(0.5);
    expect(metrics.unseen.top1).toBe(0.5);
    expect(metrics.textToImage.top1).toBe(1);
    expect(metrics.groups.map(({ group, names, recall }) => [group, names, recall.top1])).toEqual([
      ["a", 2, 0.5],
      ["b", 2, 0.5],
    ]);
  });

  it("counts ties as wrong", () => {
    expect(metricsOf(new Float32Array(16), items).style.top1).toBe(0);
  });

  it("refuses scores that are not finite", () => {
    expect(() => metricsOf(new Float32Array(16).fill(Number.NaN), items)).toThrow(
      expect.objectContaining({ code: "ERR_EVACLIP_NOT_FINITE" }),
    );
  });
});
