/** A value that a statement binds or returns. Binding a boolean would abort the process. */
export type SqlValue = null | number | bigint | string | Uint8Array;

export interface SqlRequest {
  readonly id: number;
  readonly sql: string;
  /** The statement runs once per list of values. */
  readonly values: readonly (readonly SqlValue[])[];
}

export interface SqlAnswer {
  readonly id: number;
  readonly rows?: SqlValue[][];
  readonly error?: { readonly message: string; readonly code: string };
}

/**
 * What the process of a database runs. Its source text is passed to Node, so it may use nothing of this module, and has no
 * named function inside, for which bundlers would insert a call.
 */
function serveDatabase(libsql: string, path: string, busyMs: number): void {
  // A signal to the whole process group lets the parent finish its calls first; then the channel closes.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => undefined);
  process.on("disconnect", () => process.exit(0));
  // An answer that the parent has not waited for.
  process.on("error", () => process.exit(0));
  const state: { database?: import("libsql").Database } = {};
  process.on("message", ({ id, sql, values }: SqlRequest) => {
    try {
      state.database ??= new (require(libsql))(path, { timeout: busyMs }).defaultSafeIntegers(true);
      const statement = state.database!.prepare(sql);
      const rows: unknown[] = [];
      for (const list of values) {
        if (!statement.reader) statement.run(list);
        else for (const row of statement.raw().all(list)) rows.push(row);
      }
      process.send!({ id, rows });
    } catch (error) {
      const { message, code } = error as NodeJS.ErrnoException;
      process.send!({ id, error: { message: String(message), code: String(code) } });
    }
  });
}

/** The program of a database's process, for `node --eval`. */
export function databaseProgram(libsql: string, path: string, busyMs: number): string {
  const values = [libsql, path, busyMs].map((value) => JSON.stringify(value)).join(", ");
  return `(${serveDatabase})(${values})`;
}
