import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeReport } from "../../../../examples/emoji/report/write_report";
import { syntheticRun } from "../synthetic_run";

let folder: string;
let page: string;
const { result, scored, history } = syntheticRun();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-report-"));
  await writeReport(folder, result, scored, history, 128);
  page = await readFile(join(folder, "report.html"), "utf8");
});

afterAll(() => rm(folder, { recursive: true }));

describe("the report", () => {
  it("is written with the result, without temporary files", async () => {
    expect((await readdir(folder)).sort()).toEqual(["examples.svg", "report.html", "result.json"]);
    expect(JSON.parse(await readFile(join(folder, "result.json"), "utf8"))).toEqual(result);
  });

  it("needs no network: every image is inline and there is no script", () => {
    const sources = [...page.matchAll(/(?:src|href)="([^"]{0,22})/g)].map(([, source]) => source);
    expect(sources.length).toBeGreaterThan(48);
    expect(new Set(sources)).toEqual(new Set(["data:image/png;base64,"]));
    expect(page.match(/<script|@import|url\(/)).toBeNull();
  });

  it("shows curves, 48 test images, the similarity matrix, the table and the protocol", () => {
    expect(page.match(/<polyline/g)).toHaveLength(4);
    expect(page.match(/class="picture/g)).toHaveLength(49);
    expect(page.match(/class="cells"/g)).toHaveLength(2);
    for (const heading of ["Results", "Training", "Examples", "Similarity", "Protocol"]) {
      expect(page.includes(`<h2>${heading}`)).toBe(true);
    }
    expect(page.includes("npm run demo -- --seed 5")).toBe(true);
  });

  it("marks exactly the images whose best name is correct", () => {
    const cards = page.split('<div class="picture').slice(2);
    for (const card of cards) {
      const best = card.slice(card.indexOf("<li"), card.indexOf("</li>"));
      expect(card.startsWith(" right")).toBe(best.includes("✓"));
    }
  });

  it("has no NaN", () => {
    const markup = page.replaceAll(/base64,[^"]*/g, "");
    expect(markup.match(/NaN|undefined|Infinity/)).toBeNull();
  });

  it("comes with a self-contained figure of ten drawings", async () => {
    const figure = await readFile(join(folder, "examples.svg"), "utf8");
    expect(figure.match(/<image href="data:image\/png;base64,/g)).toHaveLength(10);
    expect(figure.match(/NaN|undefined|Infinity|href="http/)).toBeNull();
  });

  it("escapes names", () => {
    expect(page.includes('<b>"3"')).toBe(false);
    expect(page.includes("&lt;b&gt;&quot;3&quot; &amp; more&lt;/b&gt;")).toBe(true);
  });
});
