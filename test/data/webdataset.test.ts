import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Sample } from "../../lib/data/dataset";
import { openWebDataset, type WebDatasetOptions } from "../../lib/data/sources/webdataset/webdataset";
import { collect, epochOf, tar, temporaryFolder, writeFiles } from "./sample_files";

const FIXTURES = join(__dirname, "../fixtures/shards");
const folder = temporaryFolder();
const at = (name: string) => join(folder.path, name);
const nameOf = ({ key }: Sample) => key.split("#")[1] ?? key;

/** Four shards of six samples, s0-0 to s3-5, whose images are their names. */
async function writeShards(): Promise<void> {
  for (let shard = 0; shard < 4; shard++) {
    const members = Array.from({ length: 6 }, (_, i) => `s${shard}-${i}`).flatMap((name) => [
      [`${name}.jpg`, Buffer.from(name)] as const,
      [`${name}.txt`, `caption of ${name}`] as const,
      [`${name}.cls`, "7"] as const,
    ]);
    await writeFiles(folder.path, { [`shard-${shard}.tar`]: await tar(members) });
  }
}

beforeAll(writeShards);

describe("openWebDataset", () => {
  test("reads samples of brace-expanded shards in order, with the members asked for", async () => {
    const samples = await epochOf(await openWebDataset(at("shard-{0..3}.tar")));
    const names = [0, 1, 2, 3].flatMap((shard) => [0, 1, 2, 3, 4, 5].map((i) => `s${shard}-${i}`));
    expect(samples.map(nameOf)).toEqual(names);
    expect(samples.map(({ index }) => index)).toEqual(names.map((_, i) => i));
    expect(await samples[7]!.read()).toEqual({ image: Buffer.from("s1-1"), captions: ["caption of s1-1"] });
  });

  test("takes folders, lists, several patterns in one string and compressed shards", async () => {
    await writeFiles(folder.path, { "zipped/a.tar.gz": gzipSync(await readFile(at("shard-0.tar"))) });
    for (const shards of [
      [at("zipped"), at("shard-1.tar")],
      `${at("zipped/a.tar.gz")}::${at("shard-1.tar")}`,
    ]) {
      expect((await epochOf(await openWebDataset(shards))).map(nameOf)).toHaveLength(12);
    }
  });

  test("shuffles shards and samples by seed and epoch", async () => {
    const dataset = await openWebDataset(at("shard-{0..3}.tar"), { shuffleBuffer: 8 });
    const order = async (epoch: number) =>
      (await epochOf(dataset, { shuffle: true, seed: 3, epoch })).map(nameOf).join();
    const [first, again, second] = [await order(0), await order(0), await order(1)];
    expect(first).toBe(again);
    expect(first).not.toBe(second);
    expect(new Set(first.split(",")).size).toBe(24);
  });

  const variants: [string, WebDatasetOptions][] = [
    ["shuffled", { shuffleBuffer: 8 }],
    ["whole-epoch windows", { shuffleBuffer: 100 }],
    ["resampled", { shuffleBuffer: 5, resampled: true, samplesPerEpoch: 40 }],
    ["short epochs", { shuffleBuffer: 5, samplesPerEpoch: 13 }],
  ];
  test.each(variants)("goes on exactly after any sample: %s", async (_, options) => {
    const dataset = await openWebDataset(at("shard-{0..3}.tar"), options);
    const request = { shuffle: true, seed: 11, epoch: 2 };
    const whole = await epochOf(dataset, request);
    expect(whole).toHaveLength(options.samplesPerEpoch ?? 24);
    for (let done = 1; done <= whole.length; done++) {
      const position = JSON.parse(JSON.stringify(whole[done - 1]!.next));
      const rest = await epochOf(dataset, { ...request, position });
      expect(rest.map(({ key, index, next }) => [key, index, next])).toEqual(
        whole.slice(done).map(({ key, index, next }) => [key, index, next]),
      );
    }
  });

  test("groups members by their name up to its first dot, in folders too", async () => {
    const archive = await tar([
      ["./a/x.seg.png", "mask"],
      ["./a/x.PNG", "first"],
      ["./a/x.json", '{"caption": "from json"}'],
      ["b/x.webp", "second"],
      ["b/x.txt", "text wins"],
      ["b/x.json", '{"caption": "not this"}'],
      ["noextension", ""],
    ]);
    await writeFiles(folder.path, { "groups.tar": archive });
    const samples = await epochOf(await openWebDataset(at("groups.tar")));
    expect(samples.map(nameOf)).toEqual(["a/x", "b/x"]);
    expect(await samples[0]!.read()).toEqual({ image: Buffer.from("first"), captions: ["from json"] });
    expect(await samples[1]!.read()).toEqual({ image: Buffer.from("second"), captions: ["text wins"] });
  });

  test("tells missing images and captions apart, by the keys asked for", async () => {
    const archive = await tar([
      ["1.txt", "no image"],
      ["2.jpg", "no caption"],
      ["3.jpg", "bad json"],
      ["3.json", "{"],
      ["4.bin", "whole"],
      ["4.alt", "other keys"],
    ]);
    await writeFiles(folder.path, { "holes.tar": archive });
    const reasons = async (options: WebDatasetOptions) =>
      Promise.all(
        (await epochOf(await openWebDataset(at("holes.tar"), options))).map((sample) =>
          sample.read().then(
            ({ captions }) => captions[0],
            (error) => error.reason,
          ),
        ),
      );
    expect(await reasons({})).toEqual([
      "missing_image",
      "missing_caption",
      "missing_caption",
      "missing_image",
    ]);
    expect((await reasons({ imageKey: "bin", textKey: "alt" }))[3]).toBe("other keys");
  });

  describe("a shard cut short", () => {
    // Members take 1,024 bytes each: a header block and a data block.
    test.each([
      [
        "inside a header",
        4 * 3072 + 300,
        4,
        /damaged or truncated after 3 samples \(last complete one: s0-2\)/,
      ],
      ["inside a file", 4 * 3072 + 1024 + 512 + 2, 4, /after 3 samples|after 4 samples/],
      ["to nothing", 0, 0, /after 0 samples \(last complete one: none\)/],
    ])("%s is an error that names shard and sample", async (name, bytes, _, message) => {
      const path = `cut-${name.replaceAll(" ", "-")}.tar`;
      await writeFiles(folder.path, { [path]: (await readFile(at("shard-0.tar"))).subarray(0, bytes) });
      await expect(epochOf(await openWebDataset(at(path)))).rejects.toMatchObject({
        code: "ERR_EVACLIP_DATA",
        message: expect.stringMatching(message),
        details: expect.objectContaining({ shard: at(path) }),
      });
    });

    test("between two files cannot be told from one whose writer left the end marker out", async () => {
      await writeFiles(folder.path, {
        "between.tar": (await readFile(at("shard-0.tar"))).subarray(0, 4 * 3072),
      });
      expect((await epochOf(await openWebDataset(at("between.tar")))).map(nameOf)).toHaveLength(4);
    });

    test("is a counted skip on request, and the other shards go on", async () => {
      await writeFiles(folder.path, {
        "cut.tar": (await readFile(at("shard-0.tar"))).subarray(0, 3072 * 2 + 600),
      });
      const shards = [at("cut.tar"), at("none.tar"), at("shard-1.tar")];
      const dataset = await openWebDataset(shards, { damagedShards: "skip" });
      const samples = await epochOf(dataset);
      expect(samples.map(nameOf)).toEqual([
        "s0-0",
        "s0-1",
        at("cut.tar"),
        at("none.tar"),
        ...[0, 1, 2, 3, 4, 5].map((i) => `s1-${i}`),
      ]);
      await expect(samples[2]!.read()).rejects.toMatchObject({ reason: "damaged_shard" });
      const rest = await epochOf(dataset, { position: samples[2]!.next });
      expect(rest.map(nameOf)).toEqual(samples.slice(3).map(nameOf));
    });
  });

  test("names a missing shard", async () => {
    await expect(epochOf(await openWebDataset(at("none.tar")))).rejects.toMatchObject({
      code: "ERR_EVACLIP_DATA",
      message: expect.stringMatching(/none\.tar/),
    });
  });

  test("does not take an archive of rubbish for shards", async () => {
    await writeFiles(folder.path, { "rubbish.tar": Buffer.alloc(4096, "rubbish ") });
    await expect(epochOf(await openWebDataset(at("rubbish.tar")))).rejects.toThrow(/rubbish\.tar is damaged/);
  });

  test("closes its files when reading stops early", async () => {
    const dataset = await openWebDataset(at("shard-{0..3}.tar"));
    const started = await collect(dataset.open({ seed: 0, epoch: 0, shuffle: true }), 3);
    expect(started).toHaveLength(3);
    const descriptors = await readdir("/proc/self/fd");
    const links = await Promise.all(descriptors.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")));
    expect(links.filter((link) => link.startsWith(folder.path))).toEqual([]);
  });

  async function captionsIn(shards: string, options?: WebDatasetOptions) {
    const samples = await epochOf(await openWebDataset(join(FIXTURES, shards), options));
    return Promise.all(
      samples.map((sample) =>
        sample.read().then(
          ({ captions }) => captions.join("|"),
          (error) => error.reason as string,
        ),
      ),
    );
  }

  test("captions that are not UTF-8 are left out, a byte order mark is dropped", async () => {
    const captions = ["not_utf8", "not_utf8", "bom text", "two\nlines\n", "crlf\r\n", "not_utf8"];
    expect(await captionsIn("encodings.tar")).toEqual(captions);
  });

  test("captions in JSON as Python writes it, in the fields asked for", async () => {
    const captions = [
      ...["from json", "one|two", "missing_caption", "missing_caption", "missing_caption"],
      ...["", "bom json", "missing_caption", "python writes NaN"],
    ];
    expect(await captionsIn("captions_json.tar")).toEqual(captions);
    const options = { jsonTextKey: "caption;text" };
    expect((await captionsIn("captions_json.tar", options))[2]).toBe("other field");
  });

  test("a list without captions is passed over for the next field", async () => {
    const fields = [{ caption: [], text: "a" }, { caption: [1], text: ["b"] }, { caption: [null] }]; // in JSON
    const members = fields.map((json, i): [string, string] => [`${i}.json`, JSON.stringify(json)]);
    await writeFiles(folder.path, { "lists.tar": await tar(members) });
    const dataset = await openWebDataset(at("lists.tar"), { imageKey: "json", jsonTextKey: "caption;text" });
    const captions = (await epochOf(dataset)).map((sample) =>
      sample.read().then(
        (content) => content.captions,
        ({ reason }) => reason,
      ),
    );
    expect(await Promise.all(captions)).toEqual([["a"], ["b"], "missing_caption"]);
  });

  test("members that are links are named and left out", async () => {
    expect(await captionsIn("long_names_gnu.tar")).toEqual([
      "café",
      "two",
      "unreadable_file",
      "unreadable_file",
    ]);
  });

  test("empty shards are no error, alone or among others", async () => {
    const shards = [join(FIXTURES, "empty.tar"), at("shard-1.tar"), join(FIXTURES, "empty.tar")];
    expect((await epochOf(await openWebDataset(shards))).map(nameOf)).toHaveLength(6);
    expect(await epochOf(await openWebDataset(shards[0]!))).toEqual([]);
    const endless = await openWebDataset(shards[0]!, { resampled: true, samplesPerEpoch: 4 });
    await expect(epochOf(endless)).rejects.toThrow(/the shards contain no samples/);
  });

  test("a cursor of other shards or of another shuffle buffer is refused with what to do", async () => {
    const request = { shuffle: true, seed: 1 };
    const of = (shards: string, shuffleBuffer: number) => openWebDataset(at(shards), { shuffleBuffer });
    const samples = await epochOf(await of("shard-{0..3}.tar", 8), request);
    const position = samples[2]!.next;
    await expect(epochOf(await of("shard-{0..2}.tar", 8), { ...request, position })).rejects.toThrow(
      /expected shards 3, found 4; shards were added or removed/,
    );
    await expect(epochOf(await of("shard-{0..3}.tar", 9), { ...request, position })).rejects.toThrow(
      /expected shuffleBuffer 9, found 8/,
    );
  });

  test.each([
    ["https://example.com/{0..3}.tar", /is a URL/],
    ["s3://bucket/a.tar", /is a URL/],
    ["pipe:aws s3 cp s3://a.tar -", /is a command/],
    ["data.parquet", /is a Parquet file/],
  ])("says what %s is", async (shards, message) => {
    await expect(openWebDataset(shards)).rejects.toMatchObject({
      code: "ERR_EVACLIP_DATA",
      message: expect.stringMatching(message),
    });
  });

  test("a folder without shards, a device and a mistyped name say what they are", async () => {
    await writeFiles(folder.path, { "no_shards/a.txt": "" });
    await expect(openWebDataset(at("no_shards"))).rejects.toThrow(/there is no shard .* in the folder/);
    await expect(epochOf(await openWebDataset("/dev/zero"))).rejects.toThrow(/is a device, not a file/);
    await expect(epochOf(await openWebDataset(at("shard-9.tar")))).rejects.toThrow(/did you mean .*shard-/);
  });

  test.each<[string, string | string[], WebDatasetOptions]>([
    ["resampling without an epoch length", "a.tar", { resampled: true }],
    ["a shuffle buffer of nothing", "a.tar", { shuffleBuffer: 0 }],
    ["an epoch of nothing", "a.tar", { samplesPerEpoch: 0 }],
    ["no shards", [], {}],
    ["a number for shards", 5 as never, {}],
    ["a name that is no option", "a.tar", { shufflebuffer: 3 } as never],
    ["another word than error and skip", "a.tar", { damagedShards: "ignore" as never }],
  ])("refuses %s", async (_, shards, options) => {
    await expect(openWebDataset(shards, options)).rejects.toMatchObject({
      code: "ERR_EVACLIP_INVALID_ARGUMENT",
    });
  });
});
