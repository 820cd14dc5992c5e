import { modelInfo, pathsInfo } from "@huggingface/hub";
import { EvaClipError } from "../errors";
import type { Logger } from "../logger";
import { downloadTo, type RemoteFile } from "./download";
import { hubError } from "./hub_error";
import { type HubRequest, hubFetch, isUnavailable } from "./hub_fetch";
import { CachedRepository } from "./hub_cache";
import { type HubReference, hubName, staysInside } from "./hub_reference";
import { type HubSettings, hubSettings } from "./hub_settings";

/** How far the download of a file is, in bytes. */
export interface DownloadProgress {
  /** `OWNER/NAME`. */
  readonly repository: string;
  readonly file: string;
  readonly received: number;
  readonly size: number;
}

export interface HubOptions {
  /** Ends the call: it rejects with the signal's reason. What was downloaded is kept, and a later call continues it. */
  readonly signal?: AbortSignal;
  /** Called while a file is downloaded. The download awaits it; if it throws or rejects, so does the download. */
  readonly onDownload?: (progress: DownloadProgress) => unknown;
  readonly logger?: Logger;
}

/** A commit of a repository on the hub, whose files are downloaded into the cache as they are needed. */
export class Repository {
  private constructor(
    private readonly asked: HubReference,
    private readonly settings: HubSettings,
    private readonly options: HubOptions,
    private readonly cached: CachedRepository,
    readonly commit: string,
    /** The paths of all files; of the cached ones alone where the hub was not asked. */
    readonly files: readonly string[],
    private readonly isOnline: boolean,
  ) {}

  /**
   * Looks up a revision and its files. Without the hub, they are those in the cache.
   * @throws EvaClipError `ERR_EVACLIP_HUB_NOT_FOUND`, `ERR_EVACLIP_HUB_DENIED`; `ERR_EVACLIP_HUB_UNAVAILABLE` where neither
   *   the hub nor the cache has them
   */
  static async open(asked: HubReference, options: HubOptions = {}): Promise<Repository> {
    const settings = await hubSettings();
    const { repository, revision } = asked;
    const cached = new CachedRepository(settings.cache, repository);
    const whole = { repository, ...(revision !== undefined && { revision }) };
    const as = (commit: string, files: readonly string[], isOnline: boolean) =>
      new Repository(whole, settings, options, cached, commit, files, isOnline);
    const fromCache = async () => {
      const commit = await cached.commitOf(revision);
      const files = commit === undefined ? [] : await cached.files(commit);
      return commit === undefined || files.length === 0 ? undefined : as(commit, files, false);
    };
    if (settings.offline) {
      const found = await fromCache();
      if (found) return found;
      throw notCached(asked, settings);
    }
    try {
      const { commit, files } = await lookUp({ ...settings, asked: whole, signal: options.signal });
      return as(commit, files, true);
    } catch (error) {
      const found = isUnavailable(error) ? await fromCache() : undefined;
      if (!found) throw error;
      options.logger?.warn?.(`${(error as Error).message}. Using ${hubName(whole)} from the cache`);
      return found;
    }
  }

  /**
   * The paths of files on this machine; those that are not in the cache are downloaded, in this order.
   * @throws EvaClipError as `downloadTo`
   */
  async fetch(paths: readonly string[]): Promise<string[]> {
    const { commit, cached } = this;
    const isThere = await Promise.all(paths.map((path) => cached.has(commit, path)));
    const missing = paths.filter((_, i) => !isThere[i]);
    if (missing.length > 0) {
      if (!this.isOnline) throw notCached({ ...this.asked, file: missing[0]! }, this.settings);
      const remote = await this.describe(missing);
      for (const path of missing) await this.download(path, remote.get(path)!);
    }
    return paths.map((path) => cached.file(commit, path));
  }

  /** Notes in the cache that the revision is this commit; call it when the files of a model are there. */
  async remember(): Promise<void> {
    if (!this.isOnline) return;
    // A read-only cache serves what it has.
    await this.cached.remember(this.commit, this.asked.revision).catch(() => undefined);
  }

  private request(file?: string): HubRequest {
    const asked = { ...this.asked, ...(file !== undefined && { file }) };
    return { ...this.settings, asked, signal: this.options.signal };
  }

  /** Sizes and hashes of files. */
  private async describe(paths: readonly string[]): Promise<Map<string, RemoteFile>> {
    const { commit, asked, settings } = this;
    const request = this.request();
    const infos = await pathsInfo({
      repo: { type: "model", name: asked.repository },
      revision: commit,
      paths: [...paths],
      hubUrl: settings.endpoint,
      fetch: hubFetch(request),
    }).catch((error) => {
      throw malformed(error, request);
    });
    const found = new Map<string, RemoteFile>();
    for (const { path, size, oid, lfs } of infos) {
      const etag = lfs?.oid ?? oid;
      const address = path.split("/").map(encodeURIComponent).join("/");
      const url = `${settings.endpoint}/${asked.repository}/resolve/${commit}/${address}`;
      if (etag !== undefined && staysInside(etag)) found.set(path, { url, size: lfs?.size ?? size, etag });
    }
    const lost = paths.find((path) => !found.has(path));
    if (lost === undefined) return found;
    const missing = { ...asked, file: lost };
    throw hubError("ERR_EVACLIP_HUB_NOT_FOUND", `${asked.repository} has no file ${lost}`, missing);
  }

  private async download(file: string, remote: RemoteFile): Promise<void> {
    const { repository } = this.asked;
    const { size, etag } = remote;
    await downloadTo(this.cached.blob(etag), remote, this.request(file), (received) =>
      this.options.onDownload?.({ repository, file, received, size }),
    );
    await this.cached.link(etag, this.commit, file);
  }
}

/** The commit of a revision, and the paths of its files. */
async function lookUp(request: HubRequest): Promise<{ commit: string; files: readonly string[] }> {
  const { asked, endpoint } = request;
  const { sha, filePaths } = await modelInfo({
    name: asked.repository,
    revision: asked.revision ?? "main",
    additionalFields: ["sha", "filePaths"],
    hubUrl: endpoint,
    fetch: hubFetch(request),
  }).catch((error) => {
    throw malformed(error, request);
  });
  if (typeof sha !== "string" || !/^[0-9a-f]{40}$/.test(sha))
    throw malformed(new Error("it names no commit"), request);
  return { commit: sha, files: filePaths.filter(staysInside) };
}

/** An answer that is not the hub's, such as a page of a proxy. */
function malformed(error: unknown, { asked, endpoint, signal }: HubRequest): unknown {
  if (error instanceof EvaClipError || signal?.aborted) return error;
  const message = `${endpoint} does not answer as a hub for ${asked.repository}: ${(error as Error).message}; check HF_ENDPOINT`;
  return hubError("ERR_EVACLIP_HUB_UNAVAILABLE", message, asked, {}, error);
}

function notCached(asked: HubReference, { cache, offline }: HubSettings): EvaClipError {
  const why = offline ? "HF_HUB_OFFLINE is set" : "the hub cannot be reached";
  const message = `${hubName(asked)} is not in the cache ${cache}, and ${why}`;
  return hubError("ERR_EVACLIP_HUB_UNAVAILABLE", message, asked, { cache });
}
