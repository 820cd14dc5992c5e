// Prints a hash of the batches of an image folder, for open_files.test.ts.
import { createHash } from "node:crypto";
import { openImageFolder } from "../../lib/data/sources/image_folder";
import { createLoader } from "../../lib/data/loader/loader";

async function printHash(folder: string): Promise<void> {
  const hash = createHash("sha256");
  const options = { batchSize: 64, imageSize: 16, epochs: 2, concurrency: 64, maxSkips: 0 };
  for await (const { images, tokens } of createLoader(await openImageFolder(folder), options)) {
    hash.update(images).update(tokens);
  }
  process.stdout.write(hash.digest("hex"));
}

printHash(process.argv[2]!).catch((error: Error) => {
  process.stderr.write(error.message);
  process.exitCode = 1;
});
