import type { LayoutName } from "../../lib/weights/layouts/layout";
import { detectLayout } from "../../lib/weights/layouts/detect_layout";
import { type TinyName, tinyModel } from "../support/tiny_models";
import { storedShapesOf } from "./stored_shapes";

const namesOf = (model: TinyName, layout: LayoutName, storedText?: string) => [
  ...storedShapesOf(tinyModel(model), layout, storedText).keys(),
];

test.each<[TinyName, LayoutName, string]>([
  ["eva02", "eva_clip", "text."],
  ["eva01", "eva_clip", ""],
  ["eva02", "open_clip", "text."],
  ["eva02-E", "open_clip", "text."],
  ["plain", "openai", ""],
  ["plain", "openai", "text."],
  ["plain", "hugging_face", ""],
  ["eva-8B", "hugging_face", ""],
  ["eva02", "timm", ""],
  ["eva02-E", "eva_mim", ""],
])("%s in %s, text below %j", (model, layout, storedText) => {
  const found = detectLayout(namesOf(model, layout, storedText));
  expect(found.layout.name).toBe(layout);
  expect(found.storedText).toBe(storedText);
});

test("a text tower alone, and an image tower alone", () => {
  const text = (name: string) => name.startsWith("text");
  expect(detectLayout(namesOf("plain", "hugging_face").filter(text)).layout.name).toBe("hugging_face");
  expect(detectLayout(namesOf("plain", "openai", "text.").filter(text))).toMatchObject({
    layout: { name: "openai" },
    storedText: "text.",
  });
  const image = namesOf("eva02", "eva_clip").filter((name) => name.startsWith("visual."));
  expect(detectLayout(image).layout.name).toBe("eva_clip");
});

test("an unknown layout is refused, naming the known ones and the closest", () => {
  const image = namesOf("eva02", "open_clip").filter((name) => name.startsWith("visual."));
  const near = image.filter((name) => name !== "visual.trunk.pos_embed");
  expect(() => detectLayout(near, "model.bin")).toThrow(
    /model\.bin has an unknown layout.*eva_clip \(visual\.cls_token, …\).*closest is open_clip, missing visual\.trunk\.pos_embed/,
  );
  const error = expect.objectContaining({ code: "ERR_EVACLIP_CHECKPOINT_MISMATCH" });
  expect(() => detectLayout(["fc.weight", "fc.bias"])).toThrow(error);
  expect(() => detectLayout(["fc.weight", "fc.bias"])).toThrow(/it has fc\.weight, fc\.bias$/);
  expect(() => detectLayout([])).toThrow(error);
});
