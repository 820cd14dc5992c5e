import { abortable } from "../../abortable";
import { isEvaClipError } from "../../errors";
import type { Entry } from "../vector_store";
import { conditionError, readCondition } from "./condition";
import { type RunSql, SqlConnection } from "./connection";
import { ENTRIES_TABLE, entryValues, INSERT_ENTRY } from "./schema";

const ENTRIES_AT_ONCE = 1000;
const IDS_AT_ONCE = 50_000;

/** Evaluates conditions on entries that are stored elsewhere: a table in memory, filled by the first call. */
export class EntryTable implements AsyncDisposable {
  readonly #connection = new SqlConnection(":memory:", []);
  readonly #fields = new Set<string>();

  /** @param entries in the order of their ids */
  constructor(private readonly entries: () => Iterable<Entry> | AsyncIterable<Entry>) {}

  /**
   * The ids of the entries that a condition is true of, in ascending order.
   * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for a condition that cannot be evaluated; the signal's reason
   */
  async matching(where: string, signal?: AbortSignal): Promise<number[]> {
    // In a transaction, which leaves no half-filled table when the call is aborted.
    const work = async (run: RunSql) => {
      if ((await run("select 1 from sqlite_master limit 1")).length === 0) await this.#fill(run);
      const { sql, values } = readCondition(where, [...this.#fields].sort());
      const ids: number[] = [];
      const page = `select json_group_array(id) from
        (select e.id from entries e where e.id > ? and ${sql} order by e.id limit ${IDS_AT_ONCE})`;
      try {
        for (;;) {
          const [[text] = []] = await run(page, [BigInt(ids.at(-1) ?? -1), ...values]);
          const found: number[] = JSON.parse(String(text));
          for (const id of found) ids.push(id);
          if (found.length < IDS_AT_ONCE) return ids;
        }
      } catch (error) {
        if (!isEvaClipError(error, "ERR_EVACLIP_INTERNAL")) throw error;
        throw conditionError(where, error);
      }
    };
    return abortable(this.#connection.transaction("deferred", work, signal), signal);
  }

  async dispose(): Promise<void> {
    await this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #fill(run: RunSql): Promise<void> {
    await run(ENTRIES_TABLE);
    let batch: Entry[] = [];
    const insert = async () => {
      const some = batch;
      batch = [];
      await run(INSERT_ENTRY, ...some.map((entry) => entryValues(entry.id, { ...entry, version: "" })));
    };
    for await (const entry of this.entries()) {
      for (const name of Object.keys(entry.metadata)) this.#fields.add(name);
      batch.push(entry);
      if (batch.length === ENTRIES_AT_ONCE) await insert();
    }
    await insert();
  }
}
