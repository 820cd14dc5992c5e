// Prints GOMP_SPINCOUNT as seen by libgomp and by child processes when the addon is first loaded, here or in a worker.
import { execFileSync, spawnSync } from "node:child_process";
import { isMainThread, Worker } from "node:worker_threads";

if (process.env.OMP_DISPLAY_ENV !== undefined) {
  // libgomp prints its settings when it is loaded.
  if (process.argv[2] === "main" || !isMainThread) {
    require("../../lib/native").native();
    process.stdout.write(execFileSync("sh", ["-c", 'printf "%s" "$GOMP_SPINCOUNT"'], { encoding: "utf8" }));
  } else {
    new Worker(__filename);
  }
} else {
  const { stdout, stderr } = spawnSync(process.execPath, [__filename, process.argv[2]!], {
    env: { ...process.env, OMP_DISPLAY_ENV: "VERBOSE" },
    encoding: "utf8",
  });
  process.stdout.write(JSON.stringify({ displayed: stderr, child: stdout }));
}
