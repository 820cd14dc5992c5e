import { initializationRows } from "../../lib/cli/train/initialization_rows";
import type { ParameterStart } from "../../lib/weights/pretrained";

const loaded = (name: string, from: string, block?: number): ParameterStart => ({
  name,
  ...(block !== undefined && { block }),
  origin: "loaded",
  path: "eva.pt",
  from: [from],
});

test("blocks that start alike share a row, others have their own", () => {
  const bias = (block: number) => `visual.blocks.${block}.norm1.bias`;
  const rows = initializationRows([
    { name: "logit_scale", origin: "initial", note: "constant 2.65926" },
    ...[0, 1, 2].map((block) => loaded(bias(block), `blocks.${block}.norm1.bias`, block)),
    { name: bias(3), block: 3, origin: "initial", note: "constant 0" },
    loaded(bias(4), "blocks.4.norm1.bias", 4),
    {
      ...loaded("visual.pos_embed", "pos_embed"),
      origin: "resized",
      note: "grid 16 × 16 → 24 × 24, bicubic",
    },
  ]);
  expect(rows).toEqual([
    ["logit_scale", "initial: constant 2.65926"],
    ["visual.blocks.0-2, 4.norm1.bias", "loaded blocks.0-2, 4.norm1.bias of eva.pt"],
    ["visual.blocks.3.norm1.bias", "initial: constant 0"],
    ["visual.pos_embed", "resized pos_embed of eva.pt: grid 16 × 16 → 24 × 24, bicubic"],
  ]);
});

test("a parameter made of several tensors names them all", () => {
  const parts = ["q", "k", "v"].map((part) => `text_model.encoder.layers.0.self_attn.${part}_proj.bias`);
  const name = "text.transformer.resblocks.0.attn.in_proj_bias";
  expect(initializationRows([{ name, block: 0, origin: "loaded", path: "hf", from: parts }])).toEqual([
    [name, `loaded ${parts.join(", ")} of hf`],
  ]);
});
