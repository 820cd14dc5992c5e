import { randomBytes } from "node:crypto";
import { copyFile, readdir, readFile, rename, stat, symlink, unlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { getRepoFolderName } from "@huggingface/hub";
import { writeError } from "../io/file_error";
import { makeFolder } from "../io/make_folder";
import { replaceFile } from "../io/replace_file";

const COMMIT = /^[0-9a-f]{40}$/;
const DEFAULT_REVISION = "main";

/** A repository's folder in the cache, as huggingface_hub lays it out: blobs/ETAG, snapshots/COMMIT/FILE → blob, refs/REVISION. */
export class CachedRepository {
  private readonly root: string;

  constructor(cache: string, repository: string) {
    this.root = join(cache, getRepoFolderName({ type: "model", name: repository }));
  }

  /** Where the content of a file is, by its ETag. */
  blob(etag: string): string {
    return join(this.root, "blobs", etag);
  }

  /** The path of a file of a commit; its neighbors there are those of the repository. */
  file(commit: string, path: string): string {
    return join(this.root, "snapshots", commit, path);
  }

  /** The commit that a revision last was; undefined if that is unknown. */
  async commitOf(revision = DEFAULT_REVISION): Promise<string | undefined> {
    if (COMMIT.test(revision)) return revision;
    const known = await readFile(join(this.root, "refs", revision), "utf8").catch(() => "");
    return COMMIT.test(known.trim()) ? known.trim() : undefined;
  }

  /** The cached files of a commit whose contents are there. */
  async files(commit: string): Promise<string[]> {
    const folder = join(this.root, "snapshots", commit);
    const found = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
    const paths = found
      .filter((entry) => !entry.isDirectory())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
    const whole = await Promise.all(paths.map((path) => this.has(commit, path)));
    return paths.filter((_, i) => whole[i]);
  }

  async has(commit: string, path: string): Promise<boolean> {
    const found = await stat(this.file(commit, path)).catch(() => undefined);
    return found?.isFile() === true;
  }

  /** Makes a blob the content of a commit's file. @throws EvaClipError `ERR_EVACLIP_IO`, `ERR_EVACLIP_DISK_FULL` */
  async link(etag: string, commit: string, path: string): Promise<void> {
    const [target, place] = [this.blob(etag), this.file(commit, path)];
    const temporary = `${place}.${randomBytes(4).toString("hex")}.tmp`;
    await makeFolder(dirname(place));
    try {
      // A link to the folder's own blob stays valid when the cache is moved.
      await symlink(relative(dirname(place), target), temporary).catch(() => copyFile(target, temporary));
      await rename(temporary, place);
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      throw writeError(place, error);
    }
  }

  /** Notes which commit a revision is, once the files of that commit are there. */
  async remember(commit: string, revision = DEFAULT_REVISION): Promise<void> {
    if (revision === commit || (await this.commitOf(revision)) === commit) return;
    const path = join(this.root, "refs", revision);
    await makeFolder(dirname(path));
    await replaceFile(path, (file) => file.writeFile(commit));
  }
}
