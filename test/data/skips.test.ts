import type { Dataset, SampleContent } from "../../lib/data/dataset";
import { indexedDataset } from "../../lib/data/sources/indexed_dataset";
import { createLoader } from "../../lib/data/loader/loader";
import type { LoaderOptions } from "../../lib/data/loader/loader_options";
import { EvaClipError } from "eva-clip";
import { SampleError } from "eva-clip/data";
import { collect, numberedDataset, numberedPixels } from "./sample_files";

const options: LoaderOptions = { batchSize: 2, imageSize: 8, epochs: 1, shuffle: false };

/** Twelve samples, of which `read` makes the fifth. */
function withFifth(read: () => Promise<SampleContent>): Dataset {
  const at = (i: number) => ({
    key: `sample ${i}`,
    read: async () => (i === 4 ? read() : { image: numberedPixels(i, 8), captions: [`number ${i}`] }),
  });
  return indexedDataset({ size: 12, at });
}

function fileError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: it failed, open 'a.jpg'`), {
    code,
    errno: -1,
    syscall: "open",
    path: "a.jpg",
  });
}

describe("a data set of one's own", () => {
  test.each([
    [new SampleError("missing_image", "no image"), "missing_image"],
    [new EvaClipError("ERR_EVACLIP_DATA", "bad sample"), "unusable_sample"],
    [new SampleError("unreadable_file", "no permission", {}, fileError("EACCES")), "unreadable_file"],
  ])("leaves out and counts a sample whose read throws %s", async (error, reason) => {
    const loader = createLoader(
      withFifth(async () => {
        throw error;
      }),
      options,
    );
    expect((await collect(loader)).flatMap(({ samples }) => samples.map(({ index }) => index))).not.toContain(
      4,
    );
    expect(loader.skips).toEqual({ [reason]: 1 });
  });

  test.each<[string, unknown]>([
    ["pixels of another length", { ...numberedPixels(4, 8), width: 9 }],
    ["pixels of five channels", { ...numberedPixels(4, 8), channels: 5 }],
    ["a URL that is not read", new URL("https://example.com/a.jpg")],
    ["a number", 5],
  ])("leaves out and counts an image that is %s", async (_, image) => {
    for (const transform of ["train", "evaluation"] as const) {
      const dataset = withFifth(async () => ({ image, captions: ["one"] }) as SampleContent);
      const loader = createLoader(dataset, { ...options, transform });
      await collect(loader);
      expect(loader.skips).toEqual({ undecodable_image: 1 });
    }
  });

  test("ends the loader by any other error", async () => {
    const dataset = withFifth(async () => {
      throw new RangeError("a mistake");
    });
    await expect(collect(createLoader(dataset, options))).rejects.toThrow("a mistake");
  });
});

describe("trouble of the system is no damaged sample", () => {
  test.each(["EIO", "ENOSPC", "ENOMEM", "ESTALE"])("%s ends the loader, naming the file", async (code) => {
    const dataset = withFifth(async () => {
      throw new SampleError("unreadable_file", "cannot read", {}, fileError(code));
    });
    await expect(collect(createLoader(dataset, options))).rejects.toMatchObject({
      code: "ERR_EVACLIP_IO",
      message: expect.stringMatching(/cannot read sample 4: E.*a\.jpg/),
      details: { path: "a.jpg", cause: code },
    });
  });

  test("too many open files are waited for, and the batches are the same", async () => {
    let failures = 5;
    const dataset = withFifth(async () => {
      if (failures-- > 0) throw new SampleError("unreadable_file", "cannot read", {}, fileError("EMFILE"));
      return { image: numberedPixels(4, 8), captions: ["number 4"] };
    });
    const batches = await collect(createLoader(dataset, options));
    expect(batches).toEqual(await collect(createLoader(numberedDataset(12), options)));
  });
});
