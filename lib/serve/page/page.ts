import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { EvaClipError } from "../../errors";
import { HttpError } from "../http_error";
import type { Call, Route } from "../route";

/** `assets/page`, from lib/serve and from dist/serve. */
const FOLDER = join(__dirname, "../../../assets/page");

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** Nothing from elsewhere, nothing inline; blob: shows pictures that the visitor chose. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

interface Asset {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly headers: Readonly<Record<string, string>>;
}

let assets: Promise<ReadonlyMap<string, Asset>> | undefined;

async function readAsset(name: string): Promise<Asset> {
  const body = new Uint8Array(await readFile(join(FOLDER, name)));
  const digest = createHash("sha256").update(body).digest("base64url").slice(0, 22);
  return {
    body,
    headers: {
      "content-type": CONTENT_TYPES[extname(name)]!,
      "content-security-policy": CONTENT_SECURITY_POLICY,
      // Names are the same in every version, so a browser asks whether its copy is still current.
      "cache-control": "no-cache",
      etag: `"${digest}"`,
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cross-origin-opener-policy": "same-origin",
    },
  };
}

/** The page's files by the path of their URL: index.html is `/`, the others are `/page/NAME`. */
async function readAssets(): Promise<ReadonlyMap<string, Asset>> {
  try {
    const names = (await readdir(FOLDER)).filter((name) => extname(name) in CONTENT_TYPES);
    const files = names.map(async (name) => {
      const path = name === "index.html" ? "/" : `/page/${name}`;
      return [path, await readAsset(name)] as const;
    });
    return new Map(await Promise.all(files));
  } catch (cause) {
    assets = undefined;
    const message = `the page's files cannot be read from ${FOLDER}: ${(cause as Error).message}`;
    throw new EvaClipError("ERR_EVACLIP_IO", message, { path: FOLDER }, { cause });
  }
}

/** Whether `If-None-Match` names an ETag; a proxy may have made it weak. */
function matches(ifNoneMatch: string | null, etag: string): boolean {
  if (ifNoneMatch === null) return false;
  return ifNoneMatch.split(",").some((tag) => tag.trim() === "*" || tag.trim().replace(/^W\//, "") === etag);
}

/**
 * The page for trying a model in a browser, at `/`, and its files, at `/page/NAME`.
 * @param path the path of the request's URL
 * @param headers the request's headers: 304 without a body if `If-None-Match` names the current version
 * @returns undefined for any other path
 * @throws EvaClipError `ERR_EVACLIP_IO` when the package's assets are missing
 */
export async function pageResponse(path: string, headers?: Headers): Promise<Response | undefined> {
  assets ??= readAssets();
  const asset = (await assets).get(path);
  if (asset === undefined) return undefined;
  if (matches(headers?.get("if-none-match") ?? null, asset.headers.etag!))
    return new Response(null, { status: 304, headers: asset.headers });
  return new Response(asset.body, { headers: asset.headers });
}

async function answer({ url, request, params }: Call): Promise<Response> {
  const isIndex = params.name === undefined;
  // Where it is mounted below a path, its links are relative to that path.
  if (isIndex && !url.pathname.endsWith("/"))
    return new Response(null, { status: 308, headers: { location: `${url.pathname}/` } });
  const path = isIndex ? "/" : `/page/${params.name}`;
  const response = await pageResponse(path, request.headers);
  if (response) return response;
  throw new HttpError(404, `there is no ${url.pathname}`, { code: "not_found" });
}

/** Answered without the API key, which the page asks for. */
export const pageRoutes: readonly Route[] = [
  { method: "GET", path: "/", isPublic: true, handle: answer },
  { method: "GET", path: "/page/:name", isPublic: true, handle: answer },
];
