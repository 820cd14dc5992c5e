// Broken copies of the patch embedding that patch_embed_test must catch.
export const mutations = [
  {
    file: "patch_embed.cu",
    changes: [
      [
        "positions off by the class token",
        "positions + (1 + patch) * columns",
        "positions + patch * columns",
      ],
      ["the next patch's pixels", "patch % across * size + column", "(patch + 1) % across * size + column"],
      ["gradients including the class token", "(row + row / patches + 1)", "(row + row / patches)"],
    ],
  },
  {
    file: "patch_embed/projection.cu",
    changes: [
      ["no barrier after the loads", "    block_barrier();\n#pragma", "#pragma"],
      ["no barrier before the next loads", "    block_barrier();\n  }\n", "  }\n"],
      ["columns past the last", "k + column < inner;", "k + column <= inner;"],
      ["no compensation", "sum + compensation", "sum"],
    ],
  },
];
