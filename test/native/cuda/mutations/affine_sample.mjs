// Broken copies of the augmentation that affine_sample_test must catch.
export const mutations = [
  {
    file: "affine_sample.cu",
    changes: [
      ["a pixel beyond the right edge", "x < 0 || x >= width", "x < 0 || x > width"],
      ["weights of neighbors exchanged", "left + 1, top, fx * (1 - fy)", "left + 1, top, (1 - fx) * fy"],
    ],
  },
];
