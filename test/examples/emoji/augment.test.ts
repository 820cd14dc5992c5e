import { BACKGROUND, drawAugmentation, emptyAugmentation, plainView } from "../../../examples/emoji/augment";
import { CounterRandom } from "../../../lib/random";

const COUNT = 500;

function drawn(strength: number, backgrounds: number) {
  const views = emptyAugmentation(COUNT);
  for (let b = 0; b < COUNT; b++) drawAugmentation(views, b, new CounterRandom(9, b), strength, backgrounds);
  return views;
}

describe("drawAugmentation", () => {
  it("changes nothing at strength 0 without random backgrounds", () => {
    const [views, plain] = [drawn(0, 0), plainView(COUNT)];
    views.transform.forEach((value, i) => {
      expect(value).toBeCloseTo(plain.transform[i]!, 6);
    });
    expect(views.background).toEqual(plain.background);
    expect(views.color).toEqual(plain.color);
  });

  it("never mirrors: the determinant is positive and the rotation small", () => {
    const { transform } = drawn(1, 0);
    for (let b = 0; b < COUNT; b++) {
      const [a, c, , d, e] = transform.subarray(b * 6, b * 6 + 6) as unknown as [
        number,
        number,
        number,
        number,
        number,
      ];
      expect(a * e - c * d).toBeGreaterThan(0.4);
      expect(Math.abs(Math.atan2(d, e))).toBeLessThanOrEqual((15 * Math.PI) / 180 + 1e-6);
    }
  });

  it("shifts by at most 14 % of the half-width", () => {
    const { transform } = drawn(1, 0);
    const shifts = Array.from({ length: COUNT }, (_, b) => Math.abs(transform[b * 6 + 2]!));
    expect(Math.max(...shifts)).toBeLessThanOrEqual(0.14);
    expect(Math.max(...shifts)).toBeGreaterThan(0.12);
  });

  it("gives one image in ten a random background", () => {
    const { background } = drawn(0.35, 0.1);
    const random = Array.from({ length: COUNT }, (_, b) => b).filter(
      (b) => background[b * 3] !== Math.fround(BACKGROUND[0]),
    );
    expect(random.length / COUNT).toBeCloseTo(0.1, 1);
  });

  it("gives gray images whose channels are the same mix of red, green and blue", () => {
    const { color } = drawn(1, 0);
    const isGray = (b: number) => color[b * 12 + 1] !== 0;
    const gray = Array.from({ length: COUNT }, (_, b) => b).filter(isGray);
    expect(gray.length / COUNT).toBeCloseTo(0.12, 1);
    for (const b of gray) {
      expect(color.subarray(b * 12, b * 12 + 4)).toEqual(color.subarray(b * 12 + 4, b * 12 + 8));
    }
  });
});
