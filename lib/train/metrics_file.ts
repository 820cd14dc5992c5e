import { appendFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { writeError } from "../io/file_error";
import type { TrainEvent } from "./train_events";

/** A JSON-lines record of a run: one object a step or evaluation. */
export class MetricsFile {
  private pending: string[] = [];

  private constructor(private readonly path: string) {}

  /** Opens the file; of an earlier run it keeps what came before `step`, so that a resumed run repeats nothing. */
  static async open(path: string, step: number): Promise<MetricsFile> {
    const before = step === 0 ? "" : await readFile(path, "utf8").catch(() => "");
    const kept = before.split("\n").filter((line) => isBefore(line, step));
    try {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, kept.map((line) => `${line}\n`).join(""));
    } catch (error) {
      throw writeError(path, error);
    }
    return new MetricsFile(path);
  }

  add(event: TrainEvent): void {
    if (event.type !== "step" && event.type !== "evaluate") return;
    this.pending.push(`${JSON.stringify(event)}\n`);
  }

  /** Writes what was added. */
  async flush(): Promise<void> {
    const text = this.pending.join("");
    this.pending = [];
    if (text === "") return;
    await appendFile(this.path, text).catch((error: unknown) => {
      throw writeError(this.path, error);
    });
  }
}

/** A last line cut short by a crash is dropped with the rest. */
function isBefore(line: string, step: number): boolean {
  try {
    return (JSON.parse(line) as { step: number }).step <= step;
  } catch {
    return false;
  }
}
