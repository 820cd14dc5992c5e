import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { isNameOf, parseAllowedHosts } from "../allowed_hosts";
import { HttpError } from "../http_error";

/** Whether only this machine reaches the address. */
export function isLoopback(host: string): boolean {
  if (isIP(host) === 0) return host === "localhost";
  return ipaddr.process(host).range() === "loopback";
}

/** IP addresses are always allowed: a web page that points its name to this server cannot ask for an address. */
const isOwnName = (hostname: string) =>
  hostname === "localhost" || hostname.endsWith(".localhost") || isIP(hostname.replace(/^\[|\]$/g, "")) !== 0;

/**
 * A check of the Host header, against DNS rebinding: a web page whose name resolves to a loopback address could read what
 * the server tells only its own machine, but its requests have the page's name in their Host header.
 * @param address where the server listens
 * @param allowHosts names that requests may have in it; undefined: any, on loopback only localhost
 * @returns a function of a request's URL, which throws HttpError 421 for another host
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
