import { layoutNames } from "../../lib/weights/layouts/all_layouts";
import {
  fillTemplates,
  OPENAI_IMAGENET_TEMPLATES,
  SIMPLE_IMAGENET_TEMPLATES,
} from "../../lib/clip/templates";
import { CLIP_PREPROCESSING } from "../../lib/image/preprocessing";

test("public constants cannot be changed", () => {
  const { mean, std } = CLIP_PREPROCESSING;
  const lists = [OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES, layoutNames, mean, std];
  for (const list of lists) expect(() => (list as unknown[]).pop()).toThrow(TypeError);
});

describe("prompt templates", () => {
  test("there are 80 different ones, and seven of them are the simple ones", () => {
    expect(new Set(OPENAI_IMAGENET_TEMPLATES).size).toBe(80);
    expect(SIMPLE_IMAGENET_TEMPLATES).toHaveLength(7);
    for (const template of SIMPLE_IMAGENET_TEMPLATES) expect(OPENAI_IMAGENET_TEMPLATES).toContain(template);
    for (const template of OPENAI_IMAGENET_TEMPLATES) expect(template).toMatch(/^[a-z -]*\{\}[a-z -]*\.$/);
  });

  test("are filled with the class name as it is", () => {
    expect(fillTemplates(["a photo of a {}.", "{} or not {}"], "$& cat")).toEqual([
      "a photo of a $& cat.",
      "$& cat or not $& cat",
    ]);
    expect(fillTemplates(OPENAI_IMAGENET_TEMPLATES, "dog")[0]).toBe("a bad photo of a dog.");
  });

  test("one without a place for the name is refused", () => {
    expect(() => fillTemplates(["a photo"], "cat")).toThrow(/needs \{\}.*found "a photo"/);
  });

  test.each([
    ["a string", "a {}", "dog"],
    ["nothing", undefined, "dog"],
    ["no template", [], "dog"],
    ["a function", [() => "a {}"], "dog"],
    ["a class name that is none", ["a {}"], 5],
  ])("%s is refused", (_, templates, name) => {
    expect(() => fillTemplates(templates as never, name as never)).toThrow(
      expect.objectContaining({ code: "ERR_EVACLIP_INVALID_ARGUMENT" }),
    );
  });
});
