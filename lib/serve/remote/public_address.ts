import ipaddr from "ipaddr.js";

const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR("2000::/3");

/** The IPv4 address that an IPv6 address leads to, by the bytes where its kind has it. */
const EMBEDDED: Readonly<Record<string, number>> = { ipv4Mapped: 12, rfc6052: 12, "6to4": 2 };

/** NAT64 addresses of local use, which networks assign as they like (RFC 8215). */
const LOCAL_NAT64 = ipaddr.IPv6.parseCIDR("64:ff9b:1::/48");

/** Whether an IP address is one of the public internet, directly or by a translation to IPv4. */
export function isPublicAddress(text: string): boolean {
  if (!ipaddr.isValid(text) || text.includes("%")) return false;
  const address = ipaddr.parse(text);
  const range = address.range();
  if (address instanceof ipaddr.IPv4) return range === "unicast";
  const v6 = address as ipaddr.IPv6;
  const start = EMBEDDED[range];
  if (start === undefined) return range === "unicast" && v6.match(GLOBAL_UNICAST);
  if (v6.match(LOCAL_NAT64)) return false;
  return new ipaddr.IPv4(v6.toByteArray().slice(start, start + 4)).range() === "unicast";
}
