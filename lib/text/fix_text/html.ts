// HTML character references, as Python's html.unescape and ftfy's unescape_html read them.
import { decodeHTML, decodeHTMLStrict } from "entities/decode";
import { codePage } from "./code_pages";

const WINDOWS_1252 = codePage("windows-1252");
const REFERENCE = /&(?:#(?:[0-9]+|[xX][0-9a-fA-F]+);?|[^\t\n\f <&#;]{1,32};?)/g;
const WHOLE_REFERENCE = /&#?[0-9A-Za-z]{1,24};/g;

/** Whether a code point is not a character in HTML. */
function isInvalid(code: number): boolean {
  return (
    (code < 0x20 && code !== 0x09 && code !== 0x0a && code !== 0x0c) ||
    code === 0x7f ||
    (code >= 0xfdd0 && code <= 0xfdef) ||
    (code & 0xfffe) === 0xfffe
  );
}

function numericReference(digits: string): string {
  const code = /^[xX]/.test(digits) ? Number.parseInt(digits.slice(1), 16) : Number.parseInt(digits, 10);
  if (code === 0 || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) return "\ufffd";
  if (code >= 0x80 && code <= 0x9f) return WINDOWS_1252.decode(String.fromCharCode(code));
  if (code === 0x0d) return "\r";
  return isInvalid(code) ? "" : String.fromCodePoint(code);
}

/** Decodes every character reference, those without a semicolon as well. */
export function decodeReferences(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(REFERENCE, (reference) =>
    reference[1] === "#" ? numericReference(reference.slice(2)) : decodeHTML(reference),
  );
}

/** A reference written in capitals along with its text: `&EACUTE;`. */
function capitalReference(reference: string): string {
  const lower = reference.toLowerCase();
  const character = decodeHTMLStrict(lower);
  const isNamed = reference === reference.toUpperCase() && character !== lower;
  return isNamed && decodeReferences(reference) === reference ? character.toUpperCase() : reference;
}

/** Decodes the references that end in a semicolon, and those in capitals. */
export function unescapeHtml(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(WHOLE_REFERENCE, (reference) => {
    if (reference[1] !== "#") {
      const decoded = decodeHTMLStrict(reference);
      return decoded === reference ? capitalReference(reference) : decoded;
    }
    const decoded = decodeReferences(reference);
    return decoded.includes(";") ? reference : decoded;
  });
}
