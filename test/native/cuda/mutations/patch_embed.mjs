// Broken copies of the patch embedding that patch_embed_test must catch.
export const mutations = [
  {
    file: "patch_embed.cu",
    changes: [
      [
        "positions without the class token's",
        "positions + (1 + patch) * columns",
        "positions + patch * columns",
      ],
      ["the next patch's pixels", "patch % across * size + place", "(patch + 1) % across * size + place"],
      ["gradients from the class token on", "(row + row / patches + 1)", "(row + row / patches)"],
    ],
  },
  {
    file: "patch_embed/projection.cu",
    changes: [
      ["no barrier after the loads", "    block_barrier();\n#pragma", "#pragma"],
      ["no barrier before the next loads", "    block_barrier();\n  }\n", "  }\n"],
      ["columns past the last", "k + column < inner;", "k + column <= inner;"],
      ["the roundings forgotten", "sum + rest", "sum"],
    ],
  },
];
