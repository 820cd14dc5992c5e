import { execFile } from "node:child_process";
import { open, rename, stat, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { openRegularFile, readError, readRegularFile } from "../../lib/io/regular_file";
import { temporaryFolder } from "../data/sample_files";

const folder = temporaryFolder();
const at = (name: string) => join(folder.path, name);

describe("readRegularFile", () => {
  test("reads a file, through links too", async () => {
    await writeFile(at("file"), "content");
    await symlink(at("file"), at("link"));
    expect((await readRegularFile(at("link"))).toString()).toBe("content");
  });

  test("refuses FIFOs, sockets, devices and folders at once, through links too", async () => {
    await promisify(execFile)("mkfifo", [at("fifo")]);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(at("socket"), resolve));
    await symlink(at("fifo"), at("fifo_link"));
    await symlink("/dev/zero", at("zero_link"));
    const kinds = {
      [at("fifo")]: /a named pipe \(FIFO\)/,
      [at("fifo_link")]: /a named pipe \(FIFO\)/,
      [at("socket")]: /a socket/,
      "/dev/zero": /a device/,
      [at("zero_link")]: /a device/,
      [folder.path]: /a folder/,
    };
    for (const [path, message] of Object.entries(kinds)) {
      const error = { code: "ERR_EVACLIP_DATA", message: expect.stringMatching(message), details: { path } };
      await expect(readRegularFile(path)).rejects.toMatchObject(error);
    }
    server.close();
  });

  test("a FIFO that replaces the file between stat and open does not block", async () => {
    await promisify(execFile)("mkfifo", [at("swapped")]);
    await writeFile(at("swap"), "content");
    for (let round = 0; round < 30; round++) {
      const opened = openRegularFile(at("swap")).then(
        (file) => file.close(),
        () => undefined,
      );
      await rename(at("swap"), at("swap.old"));
      await rename(at("swapped"), at("swap"));
      await opened;
      await rename(at("swap"), at("swapped"));
      await rename(at("swap.old"), at("swap"));
    }
    expect((await stat(at("swap"))).isFile()).toBe(true);
  });
});

test("readError distinguishes system errors from errors of a file or its path", async () => {
  const missing = readError("x", await open(at("none")).catch((error: unknown) => error));
  expect(missing).toMatchObject({ code: "ERR_EVACLIP_DATA", details: { path: "x", cause: "ENOENT" } });
  const failed = (code: string) => Object.assign(new Error(`${code}: it failed`), { code });
  for (const code of ["EMFILE", "ENFILE", "EIO", "ENOMEM", "ENOSPC", "ESTALE"])
    expect(readError("x", failed(code))).toMatchObject({ code: "ERR_EVACLIP_IO", details: { cause: code } });
  for (const code of ["EACCES", "EPERM", "ELOOP"])
    expect(readError("x", failed(code))).toMatchObject({
      code: "ERR_EVACLIP_DATA",
      details: { cause: code },
    });
  expect(readError("y".repeat(9000), failed("ENAMETOOLONG")).message.length).toBeLessThan(200);
});
