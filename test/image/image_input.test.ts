import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { runInNewContext } from "node:vm";
import { decodeImage, type ImageInput } from "../../lib/image/decode";
import { preprocess } from "../../lib/image/prepare";
import { numberedPixels, png } from "../data/sample_files";

const SIZE = 8;
const path = join(__dirname, "../fixtures/images/rgb.ppm");
const refused = { code: "ERR_EVACLIP_INVALID_ARGUMENT" };
const given = (input: unknown) => input as ImageInput;
const same = async (input: unknown, expected: Uint8Array) =>
  expect(Buffer.compare(await decodeImage(given(input), SIZE), expected)).toBe(0);

test("bytes of another realm, shared and resizable ones are image bytes as well", async () => {
  const bytes = await readFile(path);
  const expected = await decodeImage(path, SIZE);
  const shared = new SharedArrayBuffer(bytes.length);
  new Uint8Array(shared).set(bytes);
  const resizable = runInNewContext("new ArrayBuffer(length, { maxByteLength: 2 * length })", {
    length: bytes.length,
  });
  new Uint8Array(resizable).set(bytes);
  await same(runInNewContext("Uint8Array.from(list)", { list: [...bytes] }), expected);
  await same(runInNewContext("Uint8Array.from(list).buffer", { list: [...bytes] }), expected);
  await same(shared, expected);
  await same(new Uint8Array(shared), expected);
  await same(resizable, expected);
});

test("file: and data: URLs are read, as strings and as URL objects", async () => {
  const bytes = await readFile(path);
  const expected = await decodeImage(path, SIZE);
  const base64 = bytes.toString("base64");
  const percent = [...bytes].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
  await same(pathToFileURL(path).href, expected);
  await same(pathToFileURL(path), expected);
  await same(`data:image/x-portable-pixmap;base64,${base64}`, expected);
  await same(`data:;base64,${base64.replace(/=+$/, "").replace(/(.{76})/g, "$1\n")}`, expected);
  await same(new URL(`data:image/png;base64,${base64}`), expected);
  await same(`DATA:image/png,${percent}`, expected);
});

test("a data: URL that is none is refused without repeating it", async () => {
  const long = "A".repeat(2_000_000);
  for (const url of [
    `data:image/png;base64,${long}!`,
    `data:image/png;base64${long}`,
    `data:,%zz${long}`,
    `data:image/png;base64,${long}`,
    `data:,${"x".repeat(20_000_000)}`,
    `data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg"/>`,
  ]) {
    const error = await decodeImage(url, SIZE).catch((caught: Error) => caught);
    expect(error).toMatchObject({ code: "ERR_EVACLIP_DATA", reason: "undecodable_image" });
    expect((error as Error).message.length).toBeLessThan(300);
  }
});

test("other URLs and objects are refused with what to give instead", async () => {
  await expect(decodeImage("https://example.com/cat.png", SIZE)).rejects.toMatchObject({
    ...refused,
    message: expect.stringMatching(/fetch it and give its bytes/),
  });
  const url = new URL("s3://bucket/cat.png");
  await expect(decodeImage(url, SIZE)).rejects.toThrow(/is a s3: URL, which is not read/);
  await expect(decodeImage("file://elsewhere/cat.png", SIZE)).rejects.toMatchObject(refused);
  await expect(decodeImage(given(new Response("x")), SIZE)).rejects.toThrow(/give its bytes/);
  const wrong = [
    undefined,
    null,
    5,
    "",
    "a\0b",
    {},
    [],
    () => 1,
    Symbol("x"),
    new Float32Array(12),
    new Uint16Array(12),
    new DataView(new ArrayBuffer(9)),
    new Map(),
  ];
  for (const input of wrong) {
    await expect(decodeImage(given(input), SIZE)).rejects.toMatchObject(refused);
    await expect(preprocess(given(input), SIZE)).rejects.toMatchObject(refused);
  }
});

test("raw pixels are checked", async () => {
  const data = new Uint8Array(12);
  const good = { data, width: 2, height: 2, channels: 3 };
  const detached = new Uint8Array(12);
  structuredClone(detached, { transfer: [detached.buffer] });
  expect(await decodeImage(given(good), SIZE)).toHaveLength(SIZE * SIZE * 3);
  const wrong: [object, RegExp][] = [
    [
      { data: new Float32Array(12) },
      /decodeImage: image\.data must be a Uint8Array or Uint8ClampedArray, found Float32Array of 12/,
    ],
    [{ data: [...data] }, /data must be a Uint8Array/],
    [{ data: new Uint8Array(11) }, /need 12 bytes, found 11/],
    [{ data: detached }, /need 12 bytes, found 0/],
    [{ width: 0 }, /width must be at least 1/],
    [{ width: 1.5 }, /width must be an integer/],
    [{ height: "2" }, /height must be an integer/],
    [{ channels: 5 }, /channels must be 1, 2, 3 or 4/],
    [{ channels: undefined }, /channels must be/],
  ];
  for (const [change, message] of wrong)
    await expect(decodeImage(given({ ...good, ...change }), SIZE)).rejects.toMatchObject({
      ...refused,
      message: expect.stringMatching(message),
    });
});

test("what the caller writes into a buffer after the call does not count", async () => {
  const raw = numberedPixels(3);
  const file = new Uint8Array(await png(3));
  const expected = await decodeImage(numberedPixels(3), SIZE);
  const fromPixels = decodeImage(raw, SIZE);
  const fromFile = decodeImage(file, SIZE);
  const fromBuffer = decodeImage(file.buffer, SIZE);
  raw.data.fill(0);
  file.fill(0);
  structuredClone(file, { transfer: [file.buffer] });
  for (const decoded of [fromPixels, fromFile, fromBuffer])
    expect(Buffer.compare(await decoded, expected)).toBe(0);
});

test("messages never hold a long input whole", async () => {
  const huge = new Uint16Array(1_000_000);
  const inputs = [
    "x".repeat(100_000),
    `file:///${"y".repeat(100_000)}`,
    huge,
    `${"z".repeat(5000)}://${"z".repeat(5000)}`,
  ];
  for (const input of inputs) {
    const error = await decodeImage(given(input), SIZE).catch((caught: Error) => caught);
    expect(error).toMatchObject({ code: expect.stringMatching(/^ERR_EVACLIP_/) });
    expect((error as Error).message.length).toBeLessThan(500);
  }
});

test("sizes and planners are checked", async () => {
  for (const size of [0, -1, 1.5, Number.NaN, "8", null, 1e9] as number[]) {
    await expect(decodeImage(path, size)).rejects.toMatchObject(refused);
    await expect(preprocess(path, size)).rejects.toMatchObject(refused);
  }
  await expect(decodeImage(path, SIZE, 5 as never)).rejects.toMatchObject(refused);
});
