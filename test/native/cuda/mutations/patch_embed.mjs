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
      ["the next patch's pixels", "int(patch) % across", "int(patch + 1) % across"],
      ["the pixels of the first image", "first_image + place / per_image", "first_image"],
      ["a line of segments not read", "i < tokens * segments;", "i < tokens * segments - per_line;"],
      ["the padding of the last row not written", "i < tokens * padding;", "i < (tokens - 1) * padding;"],
      [
        "rows without their padding",
        "(first + token) * columns + channel",
        "(first + token) * (3 * size * size) + channel",
      ],
      ["channels in the wrong order", "all.of[i % 3][i / 3]", "all.of[2 - i % 3][i / 3]"],
      [
        "sums over images of the class tokens alone",
        "sum_images((1 + patches) * columns,",
        "sum_images(columns,",
      ],
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
