import { lookup as dnsLookup } from "node:dns/promises";
import type { IncomingMessage } from "node:http";
import { Agent, get } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import type { LookupAddress } from "node:dns";
import { abortable } from "../../abortable";
import { formatOf } from "../../image/formats/image_format";
import { SampleError } from "../../sample_error";
import { type AllowedHost, isAllowedHost } from "../allowed_hosts";
import { HttpError } from "../http_error";
import { joined } from "../joined";
import { isPublicAddress } from "./public_address";

export interface FetchImageOptions {
  readonly allowedHosts: readonly AllowedHost[];
  readonly maxBytes: number;
  /** For everything, from the name to the last byte. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** The field of the request that holds the URL, for errors. */
  readonly param?: string;
}

/** What of the network tests replace. */
export interface Network {
  /** Every address of a host. */
  resolve(host: string): Promise<LookupAddress[]>;
  readonly agent: Agent;
}

const THE_NETWORK: Network = {
  resolve: (host) => dnsLookup(host, { all: true }),
  // Connections are not kept: each belongs to the addresses that one request has checked.
  agent: new Agent({ keepAlive: false, maxSockets: 64 }),
};

const MOST_REDIRECTS = 3;
const LONGEST_URL = 2048;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * The bytes of an image at a URL that a client has given. Only https, only hosts that are allowed, only public addresses;
 * the connection goes to an address that was checked, and every redirect is checked like the first URL.
 *
 * @throws HttpError 400 for a URL that is not https; 403 for a host that is not allowed, or has no public address; 413 for
 *   too many bytes; 422 when there is no image; 504 when it takes too long. None tells what else is in the network.
 */
export async function fetchImage(
  url: string,
  options: FetchImageOptions,
  network: Network = THE_NETWORK,
): Promise<Uint8Array> {
  const { param, timeoutMs } = options;
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = options.signal ? AbortSignal.any([timeout, options.signal]) : timeout;
  try {
    const bytes = await followed(url, { ...options, signal }, network);
    formatOf(bytes, "at the URL");
    return bytes;
  } catch (error) {
    options.signal?.throwIfAborted();
    if (timeout.aborted) throw refusal(504, `the image was not fetched within ${timeoutMs} ms`, param);
    if (error instanceof HttpError) throw error;
    if (error instanceof SampleError) throw refusal(422, error.message, param);
    throw new HttpError(422, "the image could not be fetched", {
      code: "image_url_failed",
      cause: error,
      ...(param && { param }),
    });
  }
}

function refusal(status: number, message: string, param: string | undefined): HttpError {
  const code = status === 403 || status === 400 ? "image_url_refused" : "image_url_failed";
  return new HttpError(status, message, { code, ...(param !== undefined && { param }) });
}

type Hop = FetchImageOptions & { readonly signal: AbortSignal };

async function followed(first: string, hop: Hop, network: Network): Promise<Uint8Array> {
  let url = checkedUrl(first, undefined, hop);
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
    const response = await request(url, hop, network);
    try {
      const { statusCode = 0, headers } = response;
      if (!REDIRECTS.has(statusCode) || headers.location === undefined) return await bodyOf(response, hop);
      url = checkedUrl(headers.location, url, hop);
    } finally {
      response.destroy();
    }
  }
  throw refusal(422, `the URL redirects more than ${MOST_REDIRECTS} times`, hop.param);
}

/** A URL that may be fetched, as far as it tells by itself. */
function checkedUrl(text: string, base: URL | undefined, { allowedHosts, param }: Hop): URL {
  const which = base === undefined ? "the URL" : "a URL that it redirects to";
  if (text.length > LONGEST_URL || !URL.canParse(text, base?.href))
    throw refusal(400, `${which} is not a URL of at most ${LONGEST_URL} characters`, param);
  const url = new URL(text, base);
  if (url.protocol !== "https:") throw refusal(400, `${which} must begin with https://`, param);
  if (url.username !== "" || url.password !== "")
    throw refusal(400, `${which} has a user name or password`, param);
  if (isAllowedHost(url, allowedHosts)) return url;
  throw refusal(403, `${which} is on a host or port that this server does not fetch images from`, param);
}

/** The addresses of a host, all of them public. */
async function checkedAddresses(
  url: URL,
  { param, signal }: Hop,
  network: Network,
): Promise<LookupAddress[]> {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const family = isIP(host);
  const addresses =
    family === 0
      ? await abortable(network.resolve(host), signal).catch(() => [])
      : [{ address: host, family }];
  signal.throwIfAborted();
  // Names that do not exist and names of the inner network are answered alike.
  if (addresses.length === 0 || !addresses.every(({ address }) => isPublicAddress(address)))
    throw refusal(403, "the host of the URL has no public address", param);
  return addresses;
}

/** The response to a request over a connection to one of the checked addresses. */
async function request(url: URL, hop: Hop, network: Network): Promise<IncomingMessage> {
  const addresses = await checkedAddresses(url, hop, network);
  const lookup: LookupFunction = (_, { all }, done) => {
    if (all) done(null, addresses);
    else done(null, addresses[0]!.address, addresses[0]!.family);
  };
  const headers = { accept: "image/*", "accept-encoding": "identity", "user-agent": "eva-clip" };
  return new Promise((resolve, reject) => {
    get(url, { agent: network.agent, lookup, headers, signal: hop.signal }, resolve).on("error", reject);
  });
}

async function bodyOf(response: IncomingMessage, { maxBytes, param }: Hop): Promise<Uint8Array> {
  if (response.statusCode !== 200)
    throw refusal(422, `the host of the URL answers with status ${response.statusCode}`, param);
  const tooLarge = () => refusal(413, `the image at the URL is larger than ${maxBytes} bytes`, param);
  if (Number(response.headers["content-length"] ?? 0) > maxBytes) throw tooLarge();
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return joined(chunks);
}
