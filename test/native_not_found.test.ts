import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nativeNotFound } from "../lib/native_not_found";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-not-found-"));
});
afterEach(() => rm(folder, { recursive: true }));

const failure = new Error("no native build was found");
const platform = `${process.platform}-${process.arch}`;
const messageHere = () => nativeNotFound(folder, undefined, failure).message;
const makePackage = () => writeFile(join(folder, "package.json"), '{ "name": "eva-clip" }');

test("in a checkout, the build is named", async () => {
  await makePackage();
  await mkdir(join(folder, "scripts"));
  await writeFile(join(folder, "scripts", "native.mjs"), "");
  expect(messageHere()).toContain("npm run build:native");
});

test("in an installed package, no script is named that it does not have", async () => {
  await makePackage();
  await writeFile(join(folder, "CMakeLists.txt"), "");
  await mkdir(join(folder, "prebuilds", "plan9-mips"), { recursive: true });
  expect(messageHere()).toContain(`only for plan9-mips; for ${platform}, compile`);
  expect(messageHere()).not.toContain("npm run");
});

test("a binary that is there and does not load is told apart from none", async () => {
  await makePackage();
  await mkdir(join(folder, "prebuilds", platform), { recursive: true });
  expect(messageHere()).toContain(`the prebuilt binary for ${platform} does not load on this system`);
  expect(messageHere()).toMatch(/needs glibc 2\.34 .*; this system has glibc \d/);
});

test("on a system without glibc, the kind of image that has it is named", async () => {
  await makePackage();
  await mkdir(join(folder, "prebuilds", platform), { recursive: true });
  const noReport = jest.spyOn(process.report!, "getReport").mockReturnValue({ header: {} } as never);
  expect(messageHere()).toMatch(/musl of Alpine.*bookworm-slim/);
  noReport.mockRestore();
});

test("in a bundle, the bundler's remedy is named", async () => {
  await writeFile(join(folder, "package.json"), '{ "name": "my-service" }');
  expect(messageHere()).toContain("mark eva-clip as external");
});

test("a path that was given is named with its variable", () => {
  const error = nativeNotFound(folder, "elsewhere.node", failure);
  expect(error.message).toMatch(/tried elsewhere\.node\): EVA_CLIP_NATIVE_PATH/);
  expect(error).toMatchObject({ code: "ERR_EVACLIP_NATIVE_NOT_FOUND", cause: failure });
});
