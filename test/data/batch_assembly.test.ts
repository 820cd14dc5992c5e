import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Batch } from "../../lib/data/loader/batch";
import type { Dataset } from "../../lib/data/dataset";
import { openImageFolder } from "../../lib/data/sources/image_folder";
import { createLoader } from "../../lib/data/loader/loader";
import type { LoaderOptions } from "../../lib/data/loader/loader_options";
import { collect, numberedDataset, png, temporaryFolder, writeFiles } from "./sample_files";

const folder = temporaryFolder();
const at = (name: string) => join(folder.path, name);
const options = (more: Partial<LoaderOptions> = {}): LoaderOptions => ({
  batchSize: 4,
  imageSize: 8,
  ...more,
});
const keysOf = (batches: readonly Batch[]) => batches.map(({ samples }) => samples.map(({ key }) => key));

describe("bad samples", () => {
  async function folderWithBadSamples(): Promise<Dataset> {
    const files: Record<string, string | Buffer> = {};
    for (let i = 0; i < 9; i++) {
      files[`bad/${i}.png`] = await png(i, 64);
      files[`bad/${i}.txt`] = `number ${i}`;
    }
    files["bad/1.png"] = (files["bad/1.png"] as Buffer).subarray(0, 60);
    files["bad/2.txt"] = " \n";
    delete files["bad/4.txt"];
    await writeFiles(folder.path, files);
    return openImageFolder(at("bad"));
  }

  test("are counted by reason and left out; their places are filled by the next ones", async () => {
    const reported: string[] = [];
    const loader = createLoader(
      await folderWithBadSamples(),
      options({
        shuffle: false,
        batchSize: 3,
        epochs: 1,
        onSkip: ({ reason, key }) => reported.push(`${reason} ${key}`),
      }),
    );
    expect(keysOf(await collect(loader))).toEqual([
      ["0.png", "3.png", "5.png"],
      ["6.png", "7.png", "8.png"],
    ]);
    expect(reported).toEqual(["undecodable_image 1.png", "empty_caption 2.png", "missing_caption 4.png"]);
    expect(loader.skips).toEqual({ undecodable_image: 1, empty_caption: 1, missing_caption: 1 });
    expect(loader.state().samplesRead).toBe(9);
  });

  test("the counts belong to the last batch given, and resume with it", async () => {
    const dataset = await folderWithBadSamples();
    const more = options({ shuffle: false, batchSize: 2, epochs: 1, prefetch: 4 });
    const loader = createLoader(dataset, more);
    await loader.next();
    await delay(50);
    expect(loader.skips).toEqual({ undecodable_image: 1, empty_caption: 1 });
    const cursor = loader.state();
    await loader.dispose();
    const resumed = createLoader(dataset, { ...more, cursor });
    await collect(resumed);
    expect(resumed.skips).toEqual({ undecodable_image: 1, empty_caption: 1, missing_caption: 1 });
  });

  test("after the last batch are counted as well, once the loader has ended", async () => {
    const dataset = await folderWithBadSamples();
    await writeFiles(folder.path, { "bad/9.png": "no image", "bad/9.txt": "nine" });
    const reopened = await openImageFolder(at("bad"));
    expect(reopened.size).toBe(dataset.size! + 1);
    const more = options({ shuffle: false, batchSize: 3, epochs: 1 });
    const loader = createLoader(reopened, more);
    for (let i = 0; i < 2; i++) expect((await loader.next()).done).toBe(false);
    expect(loader.skips).toEqual({ undecodable_image: 1, empty_caption: 1, missing_caption: 1 });
    expect((await loader.next()).done).toBe(true);
    expect(loader.skips).toEqual({ undecodable_image: 2, empty_caption: 1, missing_caption: 1 });
    const ended = createLoader(reopened, { ...more, cursor: loader.state() });
    expect(await collect(ended)).toEqual([]);
    expect(ended.skips).toEqual(loader.skips);
    expect(
      await collect(createLoader(reopened, { ...more, epochs: 2, cursor: loader.state() })),
    ).toHaveLength(2);
  });

  test("too many are an error that says how many of what, and shows the last", async () => {
    const loader = createLoader(await folderWithBadSamples(), options({ shuffle: false, maxSkips: 1 }));
    await expect(loader.next()).rejects.toMatchObject({
      code: "ERR_EVACLIP_DATA",
      message: expect.stringMatching(
        /too many skipped samples: 2 of 3 .*1 undecodable_image, 1 empty_caption.*2\.png/,
      ),
    });
    expect(await loader.next()).toEqual({ value: undefined, done: true });
  });

  test("missing files are counted", async () => {
    const dataset = numberedDataset(5);
    const withHole: Dataset = {
      async *open(request) {
        for await (const sample of dataset.open(request)) {
          const read = async () => ({ image: at("gone.jpg"), captions: ["gone"] });
          yield sample.index === 0 ? { ...sample, read } : sample;
        }
      },
    };
    const loader = createLoader(withHole, options({ epochs: 1 }));
    expect(await collect(loader)).toHaveLength(1);
    expect(loader.skips).toEqual({ missing_file: 1 });
  });

  test("an epoch without one whole batch is an error, not an endless search", async () => {
    const loader = createLoader(numberedDataset(3), options());
    await expect(loader.next()).rejects.toThrow(/epoch 0 has 3 usable samples, too few for a batch of 4/);
  });

  test("an error of the data set itself is not a skip", async () => {
    const broken: Dataset = {
      async *open(request) {
        for await (const sample of numberedDataset(9).open(request)) {
          yield { ...sample, read: () => Promise.reject(new TypeError("a bug")) };
        }
      },
    };
    await expect(createLoader(broken, options()).next()).rejects.toThrow(TypeError);
  });
});
