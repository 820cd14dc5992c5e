import { readdir } from "node:fs/promises";
import { captureCli as run } from "../support/run_cli";
import { temporaryFolder } from "../data/sample_files";

const folder = temporaryFolder();
/** The required flags of train. */
const TRAIN = ["train", "--train-data", "d", "--model", "m"];

describe("an empty value", () => {
  test.each<[string, string[]]>([
    ["--logs <folder>", [...TRAIN, "--logs", ""]],
    ["--logs <folder>", [...TRAIN, "--logs="]],
    ["--train-data <path>", ["train", "--model", "m", "--train-data", ""]],
    ["--name <name>", [...TRAIN, "--name", ""]],
    ["--model <path|name>", ["encode", "--model", "", "--text", "a"]],
    ["--text <captions...>", ["encode", "m", "--text", "a", ""]],
    ["--val-data <path>", ["evaluate", "m", "--val-data", ""]],
    ["--csv-separator <text>", ["evaluate", "m", "--val-data", "d", "--csv-separator", ""]],
    ["--labels-file <file>", ["classify", "m", "i", "--labels-file", ""]],
    ["--config <name|file>", ["inspect", "m", "--config", ""]],
  ])("of %s is refused", async (flag, words) => {
    const { code, err } = await run(...words);
    expect(code).toBe(2);
    expect(err).toContain(`option '${flag}' argument '' is invalid. It must not be empty.`);
  });

  test.each([
    [1, ["encode", "", "--text", "a"]],
    [2, ["encode", "m", "", "i"]],
    [1, ["inspect", ""]],
    [2, ["convert", "in", ""]],
  ])("as argument %i is refused", async (place, words) => {
    const { code, err } = await run(...words);
    expect(code).toBe(2);
    expect(err).toContain(`argument ${place} must not be empty`);
  });

  test("creates nothing in the current folder", async () => {
    const before = process.cwd();
    process.chdir(folder.path);
    try {
      expect((await run(...TRAIN, "--logs", "")).code).toBe(2);
      expect(await readdir(".")).toEqual([]);
    } finally {
      process.chdir(before);
    }
  });
});

describe("a flag in the place of a value", () => {
  test.each([
    ["--text", "--json", ["encode", "m", "--text", "--json"]],
    ["--text", "--threads=2", ["encode", "m", "--text", "--threads=2"]],
    ["--text", "--no-quick-gelu", ["encode", "m", "--text", "--no-quick-gelu"]],
    ["--labels", "-h", ["classify", "m", "i", "--labels", "-h"]],
    ["--model", "--text", ["encode", "--model", "--text", "a"]],
    ["--name", "--resume", [...TRAIN, "--name", "--resume", "latest"]],
  ])("%s %s is refused, with the way to write it", async (flag, value, words) => {
    const { code, err } = await run(...words);
    expect(code).toBe(2);
    expect(err).toMatch(new RegExp(`option '${flag} <.*' argument missing: ${value} is a flag`));
    expect(err).toContain(`to use it as the value, write ${flag}=${value}`);
  });

  test("so is -- after a flag", async () => {
    const { code, err } = await run("encode", "m", "--text", "--", "i.png");
    expect(code).toBe(2);
    expect(err).toContain("option '--text <captions...>' argument missing");
  });

  test.each<[string, string[]]>([
    ["written with =", ["encode", "nowhere", "--text=--json"]],
    ["that the command does not know", ["encode", "nowhere", "--text", "--epochs"]],
    ["after --", ["encode", "nowhere", "--text", "a", "--", "--text", "--json"]],
  ])("is a value %s", async (_, words) => {
    expect((await run(...words)).err).toContain("nowhere is neither a file nor a published model");
  });
});

test("a ~ that the shell has left as it is makes no folder", async () => {
  const { code, err } = await run(...TRAIN, "--logs=~/runs");
  expect(code).toBe(2);
  expect(err).toContain("The shell expands ~ only at the start of a word: write /");
});

describe("--json", () => {
  test.each([
    [["nonsense", "--json"], true],
    [["help", "nonsense", "--json"], true],
    [["encode", "m", "--text", "--json"], true],
    [["nonsense", "--", "--json"], false],
    [["classify", "m", "--labels", "a", "--", "--json"], false],
    [["encode", "nowhere", "--text=--json"], false],
  ])("in %j asks for JSON: %s", async (words, isAsked) => {
    const { code, out } = await run(...words);
    expect(code).not.toBe(0);
    if (!isAsked) expect(out).toBe("");
    else expect(JSON.parse(out)).toMatchObject({ error: { code: "ERR_EVACLIP_INVALID_ARGUMENT" } });
  });
});

test("help names the command that there is none of", async () => {
  expect(await run("help")).toMatchObject({ code: 0, out: expect.stringContaining("Commands:") });
  const wrong = await run("help", "nonsense", "--json");
  expect(wrong.code).toBe(2);
  expect(wrong.err).toContain("unknown command 'nonsense'");
  expect(JSON.parse(wrong.out)).toMatchObject({ error: { message: "unknown command 'nonsense'" } });
  expect((await run()).err).toContain("error: missing command");
});
