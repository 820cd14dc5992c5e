import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { decodeImage } from "../../lib/image/decode";
import { png, temporaryFolder } from "../data/sample_files";

const folder = temporaryFolder();
const at = (name: string) => join(folder.path, name);

const SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>';
const container = (brand: string, others = "") =>
  Buffer.concat([
    Buffer.from([0, 0, 0, 16 + others.length]),
    Buffer.from(`ftyp${brand}\0\0\0\0${others}`, "latin1"),
    Buffer.alloc(64),
  ]);

describe("what is not known to be bounded is refused by content, whatever its name", () => {
  const contents: [string, string | Buffer, RegExp][] = [
    ["svg", SVG, /its format is SVG/],
    ["svg after a declaration", `<?xml version="1.0"?>\n<!-- a drawing -->\n<!DOCTYPE svg>${SVG}`, /SVG/],
    ["svg after a byte order mark and space", `\ufeff \n${SVG}`, /SVG/],
    ["svg in UTF-16", Buffer.from(`\ufeff${SVG}`, "utf16le"), /SVG/],
    ["svg in big-endian UTF-16", Buffer.from(`\ufeff${SVG}`, "utf16le").swap16(), /SVG/],
    ["svg with a prefix", SVG.replaceAll("svg ", "s:svg ").replace("</svg", "</s:svg"), /SVG/],
    ["svg compressed", gzipSync(SVG), /gzip/],
    ["svg after much space", `${" ".repeat(3000)}${SVG}`, /SVG/],
    ["html", "<html><body/></html>", /XML or HTML/],
    ["pdf", "%PDF-1.7\n", /PDF/],
    ["postscript", "%!PS-Adobe-3.0 EPSF", /PostScript/],
    ["mvg", "push graphic-context\nviewbox 0 0 1 1", /MVG/],
    ["heic", container("heic", "mif1heic"), /HEIC/],
    ["heif", container("mif1", "mif1heic"), /HEIC/],
    ["mp4", container("isom"), /ISO media/],
    ["jp2", Buffer.from("0000000c6a5020200d0a870a", "hex"), /JPEG 2000/],
    ["jxl", Buffer.from("ff0a0000", "hex"), /JPEG XL/],
    ["ico", Buffer.from("00000100010010100000", "hex"), /ICO/],
    ["tga", Buffer.from("000002000000000000000000100010002008", "hex"), /TGA/],
    ["psd", "8BPS\0\x01", /Photoshop/],
    ["zip", "PK\x03\x04", /zip/],
    ["nothing", "", /it is empty/],
    ["anything", Buffer.from("deadbeef00", "hex"), /begins with the bytes deadbeef00/],
  ];

  test.each(contents)("%s", async (kind, content, message) => {
    const path = at(`${kind}.png`);
    await writeFile(path, content);
    const error = {
      code: "ERR_EVACLIP_DATA",
      reason: "undecodable_image",
      message: expect.stringMatching(message),
    };
    await expect(decodeImage(path, 8)).rejects.toMatchObject(error);
    await expect(decodeImage(Buffer.from(content), 8)).rejects.toMatchObject(error);
    await expect(decodeImage(path, 8)).rejects.toThrow(path);
  });

  test("a signature in front of markup does not make an SVG decoder of it", async () => {
    for (const signature of ["GIF89a", "BM", "P6 ", "\xff\xd8\xff", "RIFF\0\0\0\0WEBP"]) {
      const bytes = Buffer.from(signature + SVG, "latin1");
      await expect(decodeImage(bytes, 8)).rejects.toMatchObject({ reason: "undecodable_image" });
    }
  });
});

test("a BMP whose pixels would begin in its header is refused", async () => {
  const bmp = readFileSync(join(__dirname, "../fixtures/images/rgb.bmp"));
  bmp.writeUInt32LE(20, 10);
  await expect(decodeImage(bmp, 8)).rejects.toThrow(
    "the BMP's pixels begin at 20, within its header of 54 bytes",
  );
});

test("FIFOs, devices and directories are refused without opening, also through links", async () => {
  await promisify(execFile)("mkfifo", [at("fifo.png")]);
  await symlink(at("fifo.png"), at("fifo_link.png"));
  await symlink("/dev/zero", at("zero.png"));
  const started = Date.now();
  const paths = ["fifo.png", "fifo_link.png", "zero.png", ""].map(at);
  // Four of them once held all threads that read files.
  const refused = [...paths, ...paths, "/dev/zero", "/dev/full"].map((path) =>
    expect(decodeImage(path, 8)).rejects.toMatchObject({
      code: "ERR_EVACLIP_DATA",
      reason: "unreadable_file",
    }),
  );
  await Promise.all(refused);
  await writeFile(at("good.png"), await png(7));
  expect(await decodeImage(at("good.png"), 8)).toHaveLength(8 * 8 * 3);
  expect(Date.now() - started).toBeLessThan(5000);
});

test("trouble of the system is no damaged sample", async () => {
  await writeFile(at("plenty.png"), await png(1));
  const program = `
    const { openSync } = require("node:fs");
    const { decodeImage } = require(${JSON.stringify(join(__dirname, "../../lib/image/decode"))});
    decodeImage(${JSON.stringify(at("plenty.png"))}, 8).then(() => {
      try { for (;;) openSync("/dev/null"); } catch {}
      return decodeImage(${JSON.stringify(at("plenty.png"))}, 8);
    }).catch((error) => console.log(JSON.stringify({ code: error.code, reason: error.reason, details: error.details })));
  `;
  const node = `ulimit -n 64; exec ${process.execPath} -r ts-node/register/transpile-only -e '${program}'`;
  const { stdout } = await promisify(execFile)("/bin/sh", ["-c", node], { cwd: join(__dirname, "../..") });
  expect(JSON.parse(stdout)).toEqual({
    code: "ERR_EVACLIP_IO",
    details: { path: at("plenty.png"), cause: "EMFILE" },
  });
});
