// Joins the memory cgroups whose folders are given, then creates a model that exceeds their limits.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { EvaClip } from "eva-clip";

async function main(): Promise<void> {
  for (const folder of process.argv.slice(2))
    writeFileSync(join(folder, "cgroup.procs"), String(process.pid));
  try {
    const model = await EvaClip.create("EVA02-CLIP-L-14", { device: "cpu" });
    await model.dispose();
    console.log("created");
  } catch (error) {
    const { code, details } = error as Error & { code?: string; details?: Record<string, unknown> };
    console.log(JSON.stringify({ code, ...details }));
  }
}

void main();
