// Builds an index, and kills itself when as many samples have been read as KILLED_BUILD says.
import { join } from "node:path";
import { openDataset } from "../../lib/data";
import { buildIndex } from "../../lib/search";
import { smallModel } from "./small_photos";

async function main(): Promise<void> {
  const { folder, moment } = JSON.parse(process.env.KILLED_BUILD!) as { folder: string; moment: number };
  const photos = join(folder, "photos");
  await using model = await smallModel();
  const dataset = await openDataset(photos, { annotations: "all" });
  await buildIndex(model, dataset, join(folder, "a.safetensors"), {
    root: photos,
    batchSize: 4,
    onProgress: (done) => done >= moment && process.kill(process.pid, "SIGKILL"),
  });
}

main();
