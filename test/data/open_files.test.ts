import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { png, temporaryFolder, writeFiles } from "./sample_files";

const folder = temporaryFolder();

/** The program's output, where the process may have so many open files. */
async function hashWith(files: string): Promise<string> {
  const program = join(__dirname, "open_files_program.ts");
  const command = 'ulimit -n "$0" && exec "$1" -r ts-node/register/transpile-only "$2" "$3"';
  const words = ["-c", command, files, process.execPath, program, folder.path];
  return (await promisify(execFile)("bash", words)).stdout;
}

test("a limit of open files below the images in flight gives the same batches", async () => {
  for (let i = 0; i < 130; i++)
    await writeFiles(folder.path, { [`${i}.png`]: await png(i), [`${i}.txt`]: `number ${i}` });
  const unlimited = await hashWith("1000");
  expect(unlimited).toHaveLength(64);
  expect(await hashWith("32")).toBe(unlimited);
}, 60_000);
