import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import * as clip from "eva-clip";
import sharp from "sharp";
import ts from "typescript";
import { HubServer } from "../support/hub_server";
import smallModel from "../../scripts/package_consumer/small_model.json";

const root = resolve(__dirname, "../..");
const PAGES = ["eva-clip", "train", "graph", "data", "weights", "serve", "search"];
const pageOf = (name: string) => readFileSync(join(root, "docs", "api", `${name}.md`), "utf8");
/** Other pages with programs; those of docs/guides run in the packed package. */
const OTHER_PAGES = ["architecture", "checkpoints", "data", "errors", "training"];

/** The names that an entry point exports, types included. */
function exportedNames(page: string): string[] {
  const path = join(root, "lib", page === "eva-clip" ? "index.ts" : `${page}.ts`);
  const { statements } = ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest, true);
  return statements.flatMap((statement) => {
    if (!ts.isExportDeclaration(statement) || !statement.exportClause) return [];
    if (ts.isNamespaceExport(statement.exportClause)) return [statement.exportClause.name.text];
    return statement.exportClause.elements.map(({ name }) => name.text);
  });
}

/** The code blocks of a page's text as one program, an async function. */
function programOf(page: string): () => Promise<void> {
  const code = [...page.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, block]) => block).join("\n");
  const imports = /^import [\s\S]*?;$/gm;
  const text = `${(code.match(imports) ?? []).join("\n")}\nexport async function main() {\n${code.replace(imports, "")}\n}`;
  const compilerOptions = {
    module: ts.ModuleKind.CommonJS,
    target: ts.ScriptTarget.ES2022,
    esModuleInterop: true,
  };
  const { outputText } = ts.transpileModule(text, { compilerOptions });
  const module = { exports: {} as { main(): Promise<void> } };
  new Function("require", "exports", "module", outputText)(require, module.exports, module);
  return () => module.exports.main();
}

/** A tar file of one image and its caption. */
function tarOf(files: Readonly<Record<string, Buffer>>): Buffer {
  const parts = Object.entries(files).flatMap(([name, data]) => {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write("0000644\0", 100);
    header.write(`${data.length.toString(8).padStart(11, "0")}\0`, 124);
    header.write("        0ustar\0", 148);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    return [header, data, Buffer.alloc((512 - (data.length % 512)) % 512)];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

const home = process.cwd();
let folder: string;
let hub: HubServer;
let log: jest.SpyInstance;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "eva-clip-api-"));
  process.chdir(folder);
  const red = { width: 40, height: 30, channels: 3 as const, background: "red" };
  const photo = await sharp({ create: red }).jpeg().toBuffer();
  writeFileSync("photo.jpg", photo);
  for (const name of ["pairs", "shards", "classes/cat", "classes/dog"]) mkdirSync(name, { recursive: true });
  for (const name of ["cat", "dog", "bird"]) {
    writeFileSync(`pairs/${name}.jpg`, photo);
    writeFileSync(`pairs/${name}.txt`, `a ${name}`);
  }
  writeFileSync("pairs.csv", "filepath,title\nphoto.jpg,a photo\n");
  for (const name of ["cat", "dog"]) writeFileSync(`classes/${name}/0.jpg`, photo);
  for (const name of ["000", "001"])
    writeFileSync(`shards/${name}.tar`, tarOf({ "a.jpg": photo, "a.txt": Buffer.from("a photo") }));
  const model = await clip.EvaClip.create(smallModel, { device: "cpu", threads: 1, init: "fan_in" });
  await model.save("model");
  await model.dispose();
  hub = await HubServer.start();
  const files = Object.fromEntries(readdirSync("model").map((name) => [name, readFileSync(`model/${name}`)]));
  hub.repositories.set("someone/small-clip", { files });
  Object.assign(process.env, { HF_ENDPOINT: hub.url, HF_HOME: join(folder, "hub") });
  log = jest.spyOn(console, "log").mockImplementation(() => undefined);
});

afterAll(async () => {
  await hub[Symbol.asyncDispose]();
  log.mockRestore();
  process.chdir(home);
  rmSync(folder, { recursive: true, force: true });
});

describe.each(PAGES)("docs/api/%s.md", (page) => {
  test("names everything that the entry point exports", () => {
    const text = pageOf(page);
    const missing = exportedNames(page).filter(
      (name) => !new RegExp(`\`[^\`\n]*\\b${name}\\b[^\`\n]*\``).test(text),
    );
    expect(missing).toEqual([]);
  });

  test("its code runs", async () => {
    await programOf(pageOf(page))();
  });
});

test.each(OTHER_PAGES)("the code of docs/%s.md runs", async (page) => {
  await programOf(readFileSync(join(root, "docs", `${page}.md`), "utf8"))();
});
