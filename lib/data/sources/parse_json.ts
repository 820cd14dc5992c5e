const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** A string of JSON (left alone) or a number that only Python writes. */
const STRING_OR_NUMBER = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\bInfinity\b|\bNaN\b/gs;

/** Parses JSON as Python writes it: NaN, Infinity and -Infinity, which JSON has no numbers for, become null. */
export function parsePythonJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const standard = text.replace(STRING_OR_NUMBER, (found) => (found.startsWith('"') ? found : "null"));
    if (standard === text) throw error;
    return JSON.parse(standard);
  }
}

/** Text of UTF-8 bytes, without a byte order mark; undefined where they are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return UTF8.decode(bytes);
  } catch {
    return undefined;
  }
}
