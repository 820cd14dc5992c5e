import { readData } from "../decompressed";
import { isTarHeader, type TarMember, tarMembers } from "./tar_reader";

/** The files of a shard with the same key, by lowercase extension: `000123.jpg` and `000123.txt`. */
export interface ShardSample {
  readonly key: string;
  readonly members: ReadonlyMap<string, Buffer>;
  /** Why wanted members have no content, by extension: `a hard link to 000122.jpg`. */
  readonly problems: ReadonlyMap<string, string>;
}

/** The path up to the first dot of the file name is the key, the rest the extension (WebDataset convention). */
const MEMBER_NAME = /^(?:\.\/)?((?:.*\/)?[^./][^./]*)\.([^/]*)$/s;
const MOST_MEMBER_BYTES = 2 ** 30;

class Group implements ShardSample {
  readonly members = new Map<string, Buffer>();
  readonly problems = new Map<string, string>();
  private readonly extensions = new Set<string>();

  constructor(readonly key: string) {}

  has(extension: string): boolean {
    return this.extensions.has(extension);
  }

  async add(extension: string, member: TarMember, isWanted: boolean): Promise<void> {
    this.extensions.add(extension);
    if (!isWanted) return;
    if (member.problem !== undefined) this.problems.set(extension, member.problem);
    else if (member.size > MOST_MEMBER_BYTES) this.problems.set(extension, `a file of ${member.size} bytes`);
    else this.members.set(extension, await member.read());
  }
}

const isPlain = (start: Buffer) => isTarHeader(start) || start.every((byte) => byte === 0);

/**
 * The samples of one shard in file order: consecutive members with the same key. A repeated extension starts a new sample
 * with the same key, as in open_clip. If the archive is damaged, the complete samples before the damage are yielded, then
 * the error is thrown.
 */
export async function* readShard(path: string, wanted: ReadonlySet<string>): AsyncGenerator<ShardSample> {
  let sample: Group | undefined;
  for await (const member of tarMembers(readData(path, isPlain))) {
    const [, key, suffix] = MEMBER_NAME.exec(member.name) ?? [];
    if (key === undefined || suffix === undefined) continue;
    const extension = suffix.toLowerCase();
    if (sample !== undefined && (sample.key !== key || sample.has(extension))) {
      yield sample;
      sample = undefined;
    }
    sample ??= new Group(key);
    await sample.add(extension, member, wanted.has(extension));
  }
  if (sample !== undefined) yield sample;
}
