import { type ChildProcess, spawn } from "node:child_process";
import { throwIfAborted } from "../../abortable";
import { EvaClipError } from "../../errors";
import { databaseProgram, type SqlAnswer, type SqlRequest, type SqlValue } from "./database_process";
import { sqlError } from "./sql_error";

/** How long a statement waits for another process's transaction. */
const BUSY_MS = 10_000;

/** How long a statement of an aborted call may still run before its process is killed. */
const ABORT_MS = 1000;

/** Runs a statement, once per list of values if there are several. → its rows */
export type RunSql = (sql: string, ...values: (readonly SqlValue[])[]) => Promise<SqlValue[][]>;

interface Pending {
  resolve(rows: SqlValue[][]): void;
  reject(error: unknown): void;
}

/**
 * A database, opened in a process of its own: libsql computes on the JavaScript thread, its asynchronous interface aborts
 * the whole process when a worker thread that uses it is terminated, and a statement cannot be interrupted but by a kill.
 * A process that has ended is started again by the next call.
 */
export class SqlConnection {
  #child: ChildProcess | undefined;
  readonly #pending = new Map<number, Pending>();
  #requests = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** @param setup statements that every process begins with */
  constructor(
    readonly path: string,
    private readonly setup: readonly string[],
  ) {}

  /** Runs `work` alone: after the calls before it, so that no statement of another call joins its transaction. */
  async exclusive<T>(work: (run: RunSql) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const before = this.#last;
    const running = before.then(() => this.#alone(work, signal));
    this.#last = running.catch(() => undefined);
    return running;
  }

  /** Runs `work` alone in a transaction, which is rolled back if it throws. */
  async transaction<T>(
    mode: "deferred" | "immediate",
    work: (run: RunSql) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    return this.exclusive(async (run) => {
      await run(`begin ${mode}`);
      try {
        const result = await work(run);
        await run("commit");
        return result;
      } catch (error) {
        // A process that has ended has rolled back.
        if (this.#child) await run("rollback").catch(() => undefined);
        throw error;
      }
    }, signal);
  }

  /** Waits for pending calls, then ends the process. */
  async close(): Promise<void> {
    await this.#last;
    const child = this.#child;
    if (!child) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.ref();
    child.disconnect();
    await ended;
  }

  async #alone<T>(work: (run: RunSql) => Promise<T>, signal?: AbortSignal): Promise<T> {
    throwIfAborted(signal);
    if (!this.#child) {
      this.#child = this.#start();
      for (const sql of this.setup) await this.#send(sql, [[]]);
    }
    let timer: NodeJS.Timeout | undefined;
    const onAbort = () => {
      timer = setTimeout(() => this.#child?.kill("SIGKILL"), ABORT_MS);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return await work(async (sql, ...values) => {
        throwIfAborted(sql === "rollback" ? undefined : signal);
        return this.#send(sql, values.length > 0 ? values : [[]]);
      });
    } finally {
      signal?.removeEventListener("abort", onAbort);
      clearTimeout(timer);
    }
  }

  #start(): ChildProcess {
    const program = databaseProgram(libsqlPath(), this.path, BUSY_MS);
    const child = spawn(process.execPath, ["--eval", program], {
      stdio: ["ignore", "ignore", "inherit", "ipc"],
      serialization: "advanced",
      // NODE_OPTIONS may load the parent's hooks, or open its inspector again.
      env: { ...process.env, NODE_OPTIONS: "", ELECTRON_RUN_AS_NODE: "1" },
    });
    child.on("message", (answer: SqlAnswer) => this.#answered(answer));
    child.on("error", (error) => this.#ended(child, error.message));
    child.on("exit", (code, signal) => this.#ended(child, signal ?? `exit status ${code}`));
    release(child);
    return child;
  }

  async #send(sql: string, values: SqlRequest["values"]): Promise<SqlValue[][]> {
    const child = this.#child;
    if (!child) throw this.#lost("it was killed");
    this.#requests += 1;
    const request: SqlRequest = { id: this.#requests, sql, values };
    return new Promise((resolve, reject) => {
      this.#pending.set(request.id, { resolve, reject });
      hold(child);
      child.send(request, (error) => error && this.#ended(child, error.message));
    });
  }

  #answered({ id, rows, error }: SqlAnswer): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (this.#pending.size === 0 && this.#child) release(this.#child);
    if (error) pending?.reject(sqlError(this.path, error.code, error.message));
    else pending?.resolve(rows ?? []);
  }

  #ended(child: ChildProcess, reason: string): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(this.#lost(reason));
  }

  #lost(reason: string): EvaClipError {
    const message = `the process that accesses ${this.path} ended: ${reason}; its transaction was rolled back`;
    return new EvaClipError("ERR_EVACLIP_IO", message, { path: this.path });
  }
}

/** An idle database does not keep this process running. */
function release(child: ChildProcess): void {
  child.unref();
  child.channel?.unref();
}

function hold(child: ChildProcess): void {
  child.ref();
  child.channel?.ref();
}

/** @throws EvaClipError `ERR_EVACLIP_PACKAGE_MISSING` */
function libsqlPath(): string {
  try {
    return require.resolve("libsql");
  } catch (cause) {
    const message = "SQL indexes need the package libsql: run `npm install libsql`";
    throw new EvaClipError("ERR_EVACLIP_PACKAGE_MISSING", message, { package: "libsql" }, { cause });
  }
}
