import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { captureCli } from "../support/run_cli";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-init-"));
});
afterEach(() => rm(folder, { recursive: true }));

test("init writes a project with the versions that the package is tested with, and says what to do next", async () => {
  const project = join(folder, "My Clip!");
  const { code, out } = await captureCli("init", project);
  expect(code).toBe(0);
  expect(out).toContain(`cd ${project}`);
  const files = await readdir(project);
  expect(files.sort()).toEqual(
    [
      ".gitignore",
      "README.md",
      "package.json",
      "sample_data.ts",
      "serve.ts",
      "train.ts",
      "tsconfig.json",
    ].sort(),
  );
  const written = JSON.parse(await readFile(join(project, "package.json"), "utf8"));
  const own = JSON.parse(await readFile(join(__dirname, "../../package.json"), "utf8"));
  expect(written).toMatchObject({
    name: "my-clip",
    private: true,
    dependencies: { "eva-clip": `^${own.version}`, sharp: own.dependencies.sharp },
    devDependencies: { typescript: own.devDependencies.typescript },
  });
  // Every command of its README is a script of its package.json.
  const readme = await readFile(join(project, "README.md"), "utf8");
  for (const [, script] of readme.matchAll(/npm run (\w+)/g)) expect(written.scripts).toHaveProperty(script!);
});

test("init takes the present folder, and what version control put there does not count", async () => {
  const before = process.cwd();
  process.chdir(folder);
  await mkdir(".git");
  try {
    const { code, out } = await captureCli("init", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(out).files).toContain("train.ts");
  } finally {
    process.chdir(before);
  }
});

test("init writes nothing into a folder that holds something, or that cannot be made", async () => {
  await writeFile(join(folder, "notes.txt"), "mine");
  const full = await captureCli("init", folder);
  expect(full).toMatchObject({
    code: 2,
    err: expect.stringMatching(/is not empty \(notes\.txt\).*INVALID_ARGUMENT/),
  });
  expect(await readdir(folder)).toEqual(["notes.txt"]);
  const below = await captureCli("init", join(folder, "notes.txt", "below"));
  expect(below).toMatchObject({
    code: 1,
    err: expect.stringMatching(/cannot write a project.*ERR_EVACLIP_IO/),
  });
});
