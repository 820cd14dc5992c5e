const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** A JSON string, which is left unchanged, or one of Python's nonstandard numbers. */
const STRING_OR_NUMBER = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\bInfinity\b|\bNaN\b/gs;

/** Parses JSON as written by Python: the nonstandard NaN, Infinity and -Infinity become null. */
export function parsePythonJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const standard = text.replace(STRING_OR_NUMBER, (found) => (found.startsWith('"') ? found : "null"));
    if (standard === text) throw error;
    return JSON.parse(standard);
  }
}

/** Decodes UTF-8 without a byte order mark; undefined for invalid UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return UTF8.decode(bytes);
  } catch {
    return undefined;
  }
}
