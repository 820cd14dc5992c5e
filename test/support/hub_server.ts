import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A repository of the server: its files, and who may read it. */
export interface ServedRepository {
  readonly files: Readonly<Record<string, Buffer | string>>;
  /** Other revisions than main: name → commit. */
  readonly revisions?: Readonly<Record<string, string>>;
  /** `private`: hidden without the token; `gated`: listed, but not readable without it. */
  readonly access?: "private" | "gated";
}

/** What goes wrong with one request. */
export interface Fault {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  /** Bytes of the body after which the connection is cut, or after which nothing more comes. */
  readonly cutAfter?: number;
  readonly silentAfter?: number;
  /** Changes the body. */
  readonly body?: (content: Buffer) => Buffer;
  /** Ignore a Range. */
  readonly noRanges?: boolean;
}

export interface LoggedRequest {
  readonly host: "hub" | "storage";
  readonly method: string;
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";
export const TOKEN = "hf_token";

/** Files from this size are stored elsewhere, by their SHA-256, as with Git LFS. */
const LFS_BYTES = 1024;

const sha256 = (content: Buffer) => createHash("sha256").update(content).digest("hex");
const gitBlob = (content: Buffer) =>
  createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A hub on the loopback interface, with the paths, headers and redirects of huggingface.co. */
export class HubServer implements AsyncDisposable {
  readonly repositories = new Map<string, ServedRepository>();
  readonly log: LoggedRequest[] = [];
  /** Asked for every request. */
  fault: (request: LoggedRequest) => Fault | undefined = () => undefined;
  /** The address of the hub. */
  url = "";
  private storage = "";
  private readonly hub = createServer((request, response) => void this.answer(request, response));
  private readonly store = createServer((request, response) => this.answerStorage(request, response));

  static async start(): Promise<HubServer> {
    const server = new HubServer();
    server.url = await listen(server.hub);
    // Another host, so that clients do not follow the redirect as one of the hub.
    server.storage = (await listen(server.store)).replace("127.0.0.1", "localhost");
    return server;
  }

  /** The requests for contents of files. */
  get downloads(): LoggedRequest[] {
    return this.log.filter(({ host, path }) => host === "storage" || path.includes("/resolve/"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of [this.hub, this.store]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  private note(
    host: LoggedRequest["host"],
    { method = "", url = "", headers }: IncomingMessage,
  ): LoggedRequest {
    const path = decodeURIComponent(url.split("?")[0]!);
    const noted = { host, method, path, range: headers.range, authorization: headers.authorization };
    this.log.push(noted);
    return noted;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const noted = this.note("hub", request);
    const fault = this.fault(noted);
    if (fault?.status !== undefined) {
      response.writeHead(fault.status, fault.headers).end();
      return;
    }
    const fail = (status: number, code: string) =>
      response
        .writeHead(status, { "x-error-code": code, "content-type": "application/json" })
        .end(JSON.stringify({ error: code }));
    const [, name = "", rest = ""] = /^(?:\/api\/models)?\/([^/]+\/[^/]+)\/(.*)$/.exec(noted.path) ?? [];
    const repository = this.repositories.get(name);
    const hasToken = noted.authorization === `Bearer ${TOKEN}`;
    if (!repository || (repository.access === "private" && !hasToken))
      return void fail(noted.authorization ? 404 : 401, "RepoNotFound");
    const [, action = "", below = ""] = /^(revision|paths-info|resolve)\/(.*)$/.exec(rest) ?? [];
    const revisions: Record<string, string> = { main: COMMIT, ...repository.revisions };
    for (const commit of Object.values(revisions)) revisions[commit] = commit;
    const revision = Object.keys(revisions).find((each) => below === each || below.startsWith(`${each}/`));
    if (revision === undefined) return void fail(404, "RevisionNotFound");
    const commit = revisions[revision]!;
    const json = (value: unknown) =>
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
    if (action === "revision") {
      const siblings = Object.keys(repository.files).map((rfilename) => ({ rfilename }));
      return void json({ _id: "1", id: name, sha: commit, siblings, gated: false, private: false });
    }
    if (repository.access === "gated" && !hasToken)
      return void fail(noted.authorization ? 403 : 401, "GatedRepo");
    if (action === "paths-info") {
      const { paths } = JSON.parse(await textOf(request)) as { paths: string[] };
      return void json(paths.flatMap((path) => describe(path, repository.files[path])));
    }
    const path = below.slice(revision.length + 1);
    const file = repository.files[path];
    if (file === undefined) return void fail(404, "EntryNotFound");
    const content = Buffer.from(file);
    const shared = { "x-repo-commit": commit, "accept-ranges": "bytes" };
    if (content.length < LFS_BYTES) {
      send(request, response, content, { ...shared, etag: `"${gitBlob(content)}"` }, fault);
      return;
    }
    const hash = sha256(content);
    response
      .writeHead(302, {
        ...shared,
        "x-linked-etag": `"${hash}"`,
        "x-linked-size": content.length,
        location: `${this.storage}/${name}/${path}?signature=1`,
      })
      .end();
  }

  private answerStorage(request: IncomingMessage, response: ServerResponse): void {
    const noted = this.note("storage", request);
    const fault = this.fault(noted);
    if (fault?.status !== undefined) {
      response.writeHead(fault.status, fault.headers).end();
      return;
    }
    const [, owner, repo, ...path] = noted.path.split("/");
    const content = Buffer.from(this.repositories.get(`${owner}/${repo}`)!.files[path.join("/")]!);
    // The storage has its own ETags.
    send(request, response, content, { "accept-ranges": "bytes", etag: '"of-the-storage"' }, fault);
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request) body += String(chunk);
  return body;
}

function describe(path: string, file: Buffer | string | undefined): object[] {
  if (file === undefined) return [];
  const content = Buffer.from(file);
  const { length: size } = content;
  const lfs = { oid: sha256(content), size, pointerSize: 130 };
  return [{ type: "file", path, size, oid: gitBlob(content), ...(size >= LFS_BYTES && { lfs }) }];
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  content: Buffer,
  headers: Record<string, string>,
  fault: Fault = {},
): void {
  const [, start] = /^bytes=(\d+)-$/.exec(fault.noRanges ? "" : (request.headers.range ?? "")) ?? [];
  const first = Number(start ?? 0);
  const body = (fault.body?.(content) ?? content).subarray(first);
  const range = `bytes ${first}-${content.length - 1}/${content.length}`;
  response.writeHead(start === undefined ? 200 : 206, {
    ...headers,
    "content-length": body.length,
    ...(start !== undefined && { "content-range": range }),
  });
  if (request.method === "HEAD") response.end();
  else if (fault.cutAfter !== undefined)
    response.write(body.subarray(0, fault.cutAfter), () => setTimeout(() => response.destroy(), 20));
  else if (fault.silentAfter !== undefined) response.write(body.subarray(0, fault.silentAfter));
  else response.end(body);
}
