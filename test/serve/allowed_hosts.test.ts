import { parseAllowedHosts } from "../../lib/serve/allowed_hosts";

test("hosts may be stated with ports, in any case, and by the names of other alphabets", () => {
  expect(
    parseAllowedHosts("hosts", [
      "Images.Example.com",
      "*.example.com:8443",
      "*",
      "bücher.example",
      "[2606:4700::1]:444",
    ]),
  ).toEqual([
    { name: "images.example.com", wildcard: false, port: 443 },
    { name: "example.com", wildcard: true, port: 8443 },
    { name: "", wildcard: true, port: 443 },
    { name: "xn--bcher-kva.example", wildcard: false, port: 443 },
    { name: "[2606:4700::1]", wildcard: false, port: 444 },
  ]);
});

test.each([
  "",
  "https://example.com",
  "example.com/a",
  "ex*mple.com",
  "*.",
  "*example.com",
  "a b",
  "a:b",
  "a:70000",
  "*.*.com",
  "me@example.com",
])("%j is no host", (host) => {
  expect(() => parseAllowedHosts("hosts", [host])).toThrow(
    /^hosts must be a host such as images\.example\.com/,
  );
});
