import { plainHexcode, slugOf } from "../../../examples/emoji/concepts";

describe("slugOf", () => {
  it.each([
    ["grinning face with big eyes", "grinning-face-with-big-eyes"],
    ["piñata", "pinata"],
    ["Mrs. Claus", "mrs-claus"],
    ["woman’s hat", "womans-hat"],
    ["family: man, boy", "family-man-boy"],
  ])("%s is %s", (label, slug) => {
    expect(slugOf(label)).toBe(slug);
  });
});

it("plainHexcode drops the variation selector", () => {
  expect(plainHexcode("2764-FE0F-200D-1F525")).toBe("2764-200d-1f525");
});
