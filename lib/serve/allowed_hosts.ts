import { describeValue, invalidArgument } from "../arguments";

/** A host that a user allows: to fetch images from, or to be called by. */
export interface AllowedHost {
  /** In lower case and ASCII; with `wildcard`, only what lies below it, and everything if it is empty. */
  readonly name: string;
  readonly wildcard: boolean;
  readonly port: number;
}

const HTTPS_PORT = 443;

/**
 * Hosts from what a user states: `images.example.com`, `*.example.com` for all below it, `*` for all with public addresses;
 * each with `:PORT` if it is not 443.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT`
 */
export function parseAllowedHosts(name: string, hosts: readonly string[]): AllowedHost[] {
  return hosts.map((host) => {
    const [, star, rest = "", port] =
      /^(\*(?:\.(?=.)|$|(?=:)))?([^*/@?#\s]*?)(?::(\d{1,5}))?$/.exec(host) ?? [];
    const wildcard = star !== undefined;
    const allowed = { name: canonicalHost(rest), wildcard, port: Number(port ?? HTTPS_PORT) };
    const isValid =
      allowed.name !== undefined && (allowed.name !== "" || star === "*") && allowed.port < 65_536;
    if (isValid) return allowed as AllowedHost;
    const expected = "a host such as images.example.com, *.example.com or *, with a port if it is not 443";
    throw invalidArgument(`${name} must be ${expected}, found ${describeValue(host)}`, { field: name });
  });
}

/** A host name as URLs hold it: lower case, punycode; undefined if it is none. */
function canonicalHost(host: string): string | undefined {
  if (host === "") return "";
  const url = `https://${host}`;
  return URL.canParse(url) ? withoutDot(new URL(url).hostname) : undefined;
}

/** A host name may end with the dot of the root. */
const withoutDot = (name: string) => name.replace(/\.$/, "");

/** Whether a host name, as URLs hold it, is the allowed one or below it. */
export function isNameOf({ name, wildcard }: AllowedHost, hostname: string): boolean {
  const host = withoutDot(hostname);
  if (!wildcard) return host === name;
  return name === "" || host.endsWith(`.${name}`);
}

/** Whether the host and port of a URL are among those allowed. */
export function isAllowedHost({ hostname, port }: URL, allowed: readonly AllowedHost[]): boolean {
  return allowed.some((host) => host.port === Number(port || HTTPS_PORT) && isNameOf(host, hostname));
}
