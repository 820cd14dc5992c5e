import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { isNameOf, parseAllowedHosts } from "../allowed_hosts";
import { HttpError } from "../http_error";

/** Whether only this machine reaches the address. */
export function isLoopback(host: string): boolean {
  if (isIP(host) === 0) return host === "localhost";
  return ipaddr.process(host).range() === "loopback";
}

/** Addresses are always allowed: a web page that misuses its own name for this server has a name. */
const isOwnName = (hostname: string) =>
  hostname === "localhost" || hostname.endsWith(".localhost") || isIP(hostname.replace(/^\[|\]$/g, "")) !== 0;

/**
 * A check of the host that a request names. A web page can let its own name lead to a loopback address and would then read
 * what this server tells nobody but its machine (DNS rebinding); the requests of such a page name the page's host.
 * @param address where the server listens
 * @param allowHosts names that requests may give; undefined: all of them, on loopback none but localhost
 * @returns throws HttpError 421 for another host
 */
export function hostCheck(address: string, allowHosts: readonly string[] | undefined): (url: string) => void {
  const names = allowHosts ?? (isLoopback(address) ? [] : ["*"]);
  const allowed = parseAllowedHosts("serve: options.allowHosts", names);
  return (url) => {
    const { hostname } = new URL(url);
    if (isOwnName(hostname) || allowed.some((host) => isNameOf(host, hostname))) return;
    const message = `requests for the host ${hostname} are not answered: start the service with allowHosts (--allow-hosts ${hostname})`;
    throw new HttpError(421, message, { code: "host_not_allowed" });
  };
}
