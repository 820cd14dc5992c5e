import type { WeightsChoice } from "../../lib/io/moving_average";
import type { TensorSource } from "../../lib/io/tensor_source";
import { withoutWrapperNames } from "../../lib/io/wrapper_names";

const chosenOf = (choice: WeightsChoice, ...names: string[]) => {
  const tensors = new Map(names.map((name) => [name, {}]));
  return [
    ...withoutWrapperNames({ path: "x.pt", tensors } as unknown as TensorSource, choice).tensors.keys(),
  ];
};
const namesOf = (...names: string[]) => chosenOf({}, ...names);

test.each([
  "_orig_mod.",
  "module.",
  "model.",
  "state_dict.",
  "model_state_dict.",
  "_fsdp_wrapped_module.",
  "_forward_module.",
  "_orig_mod.module.",
  "module._orig_mod.",
  "model._orig_mod.module.",
  "_forward_module.model._fsdp_wrapped_module.",
  "model_state_dict.module.model._orig_mod.",
])("the prefix %s", (front) => {
  expect(namesOf(`${front}visual.proj`, `${front}logit_scale`)).toEqual(["visual.proj", "logit_scale"]);
});

test.each([
  ["visual._orig_mod.trunk.blocks.0.attn.proj.weight", "visual.trunk.blocks.0.attn.proj.weight"],
  ["blocks.0._fsdp_wrapped_module.attn.proj.weight", "blocks.0.attn.proj.weight"],
  ["blocks.0._fsdp_wrapped_module._checkpoint_wrapped_module.norm1.bias", "blocks.0.norm1.bias"],
  ["visual.module.conv1.weight", "visual.conv1.weight"],
  ["transformer.resblocks.3._orig_mod.mlp.c_fc.weight", "transformer.resblocks.3.mlp.c_fc.weight"],
])("in the middle of %s", (stored, name) => {
  expect(namesOf(stored, "logit_scale")).toEqual([name, "logit_scale"]);
});

test("a container's name is removed only if every name starts with it", () => {
  expect(namesOf("model.visual.proj", "logit_scale")).toEqual(["model.visual.proj", "logit_scale"]);
  expect(namesOf("vision_model.model.weight")).toEqual(["vision_model.model.weight"]);
});

test("a tensor with two names that differ only in a wrapper is refused", () => {
  expect(() => namesOf("visual.proj", "_orig_mod.visual.proj")).toThrow(
    expect.objectContaining({
      code: "ERR_EVACLIP_CHECKPOINT_CORRUPT",
      message: expect.stringMatching(/^x\.pt has the tensor "visual\.proj" twice/),
    }),
  );
});

describe("a moving average", () => {
  test.each(["ema", "model_ema", "ema_model", "state_dict_ema", "model_ema.module", "state_dict.ema.model"])(
    "alone, as %s, is the weights",
    (front) => {
      const names = [`${front}.visual.proj`, `${front}.logit_scale`];
      expect(namesOf(...names)).toEqual(["visual.proj", "logit_scale"]);
      expect(() => chosenOf({ ema: false }, ...names)).toThrow(/has only a moving average .*ema is false/);
    },
  );

  test.each([
    ["visual.proj", "ema.visual.proj"],
    ["model.visual.proj", "ema.visual.proj"],
    ["module.visual.proj", "model_ema.module.visual.proj"],
    ["state_dict.model.visual.proj", "state_dict.ema_model.visual.proj"],
  ])("next to the weights, %s and %s, requires a choice", (trained, averaged) => {
    expect(() => namesOf(trained, averaged)).toThrow(
      expect.objectContaining({
        code: "ERR_EVACLIP_CHECKPOINT_MISMATCH",
        message: expect.stringContaining(
          `("${trained}") and their exponential moving average ("${averaged}")`,
        ),
      }),
    );
    expect(chosenOf({ ema: false }, trained, averaged)).toEqual(["visual.proj"]);
    expect(chosenOf({ ema: true }, trained, averaged, `${averaged}2`)).toEqual([
      "visual.proj",
      "visual.proj2",
    ]);
  });

  test("that is missing cannot be chosen", () => {
    expect(() => chosenOf({ ema: true }, "visual.proj")).toThrow(
      /no moving average of the weights, but ema is true/,
    );
  });
});
