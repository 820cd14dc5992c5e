import { invalidArgument, shortened } from "../arguments";

/** A model on the hub: a repository, and in it, if stated, a revision and the file or the folder of the weights. */
export interface HubReference {
  /** `OWNER/NAME`. */
  readonly repository: string;
  /** A branch, a tag or a commit; undefined for the repository's main branch. */
  readonly revision?: string;
  readonly file?: string;
}

export const HUB_PREFIX = "hf-hub:";

const PART = /^[\w.-]{1,96}$/;
/** Revisions with slashes: pull requests and conversions. Those of branches are written as %2F. */
const REVISION = /^(refs\/(?:pr|convert)\/[^/]+|[^/]+)/;

/** Whether each part of a path or a revision is a name, so that it stays in its folder on every system. */
export function staysInside(path: string): boolean {
  return path
    .split("/")
    .every((part) => part !== "" && part !== "." && part !== ".." && !/[\\:\0]/.test(part));
}

/**
 * `hf-hub:OWNER/NAME`, then optionally `@REVISION`, then optionally `/FILE`, in the form of huggingface_hub's file system.
 * @returns undefined for a name without the prefix
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` where the rest is not a repository
 */
export function parseHubReference(name: string): HubReference | undefined {
  if (!name.startsWith(HUB_PREFIX)) return undefined;
  const [owner = "", second = "", ...rest] = name.slice(HUB_PREFIX.length).split("/");
  const [repo = "", ...after] = second.split("@");
  let revision: string | undefined;
  let file = rest.join("/");
  if (after.length > 0) {
    const tail = [after.join("@"), ...rest].join("/");
    const [found = ""] = REVISION.exec(tail) ?? [];
    revision = decodeURIComponent(found);
    file = tail.slice(found.length).replace(/^\//, "");
  }
  const isWhole = PART.test(owner) && PART.test(repo) && staysInside(`${owner}/${repo}`);
  if (!isWhole || (revision !== undefined && !staysInside(revision)) || (file !== "" && !staysInside(file))) {
    throw invalidArgument(
      `${shortened(name)} is not a repository of the hub: expected hf-hub:OWNER/NAME, then optionally @REVISION and /FILE`,
      { name: shortened(name) },
    );
  }
  return {
    repository: `${owner}/${repo}`,
    ...(revision !== undefined && { revision }),
    ...(file !== "" && { file }),
  };
}

/** A reference in the form that `parseHubReference` reads, for messages. */
export function hubName({ repository, revision, file }: HubReference): string {
  const at = revision === undefined ? "" : `@${revision}`;
  return `${HUB_PREFIX}${repository}${at}${file === undefined ? "" : `/${file}`}`;
}
