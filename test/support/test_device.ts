/** The device of tests that also run on a GPU: EVA_CLIP_TEST_DEVICE, by default the CPU. */
export const testDevice = process.env.EVA_CLIP_TEST_DEVICE === "cuda" ? "cuda" : "cpu";
