// The single-byte encodings in which UTF-8 is most often decoded by mistake (tables as in Unicode's mapping files). Bytes
// are strings of characters up to U+00FF, one per byte, so that regular expressions can search them.

const REPLACEMENT = "\ufffd";
/** The byte of U+FFFD in an encoding that has unassigned bytes. */
export const SUBSTITUTE = "\x1a";

/** Characters of bytes 0x80 to 0xff; a space marks an unassigned byte, decoded as the code point of the same number. */
const UPPER_HALVES = {
  "latin-1": "",
  "windows-1252":
    "€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ\xa0¡¢£¤¥¦§¨©ª«¬\xad®¯°±²³´µ¶·¸¹º»¼½¾¿" +
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ",
  "windows-1251":
    "ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–— ™љ›њќћџ\xa0ЎўЈ¤Ґ¦§Ё©Є«¬\xad®Ї°±Ііґµ¶·ё№є»јЅѕї" +
    "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯабвгдежзийклмнопрстуфхцчшщъыьэюя",
  "windows-1250":
    "€ ‚ „…†‡ ‰Š‹ŚŤŽŹ ‘’“”•–— ™š›śťžź\xa0ˇ˘Ł¤Ą¦§¨©Ş«¬\xad®Ż°±˛ł´µ¶·¸ąş»Ľ˝ľż" +
    "ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
  "windows-1253":
    "€ ‚ƒ„…†‡ ‰ ‹     ‘’“”•–— ™ ›    \xa0΅Ά£¤¥¦§¨© «¬\xad®―°±²³΄µ¶·ΈΉΊ»Ό½ΎΏ" +
    "ΐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡ ΣΤΥΦΧΨΩΪΫάέήίΰαβγδεζηθικλμνξοπρςστυφχψωϊϋόύώ ",
  "windows-1254":
    "€ ‚ƒ„…†‡ˆ‰Š‹Œ    ‘’“”•–—˜™š›œ  Ÿ\xa0¡¢£¤¥¦§¨©ª«¬\xad®¯°±²³´µ¶·¸¹º»¼½¾¿" +
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏĞÑÒÓÔÕÖ×ØÙÚÛÜİŞßàáâãäåæçèéêëìíîïğñòóôõö÷øùúûüışÿ",
  "windows-1257":
    "€ ‚ „…†‡ ‰ ‹ ¨ˇ¸ ‘’“”•–— ™ › ¯˛ \xa0 ¢£¤ ¦§Ø©Ŗ«¬\xad®Æ°±²³´µ¶·ø¹ŗ»¼½¾æ" +
    "ĄĮĀĆÄÅĘĒČÉŹĖĢĶĪĻŠŃŅÓŌÕÖ×ŲŁŚŪÜŻŽßąįāćäåęēčéźėģķīļšńņóōõö÷ųłśūüżž˙",
  "iso-8859-2":
    " ".repeat(32) +
    "\xa0Ą˘Ł¤ĽŚ§¨ŠŞŤŹ\xadŽŻ°ą˛ł´ľśˇ¸šşťź˝žżŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢß" +
    "ŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
  macroman:
    "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø" +
    "¿¡¬√ƒ≈∆«»…\xa0ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\uf8ffÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ",
  cp437:
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐" +
    "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\xa0",
} as const;

export type CodePageName = keyof typeof UPPER_HALVES;

/** Encodings in which lost characters (U+FFFD) have a byte, the substitute. */
const isLossy = (name: CodePageName) => name.startsWith("windows-");

export class CodePage {
  readonly isLossy: boolean;
  /** The 256 characters, in the order of their bytes. */
  private readonly characters: string[];
  /** The byte of each code unit, or −1. */
  private readonly bytes = new Int16Array(1 << 16).fill(-1);

  constructor(readonly name: CodePageName) {
    this.isLossy = isLossy(name);
    this.characters = Array.from({ length: 256 }, (_, byte) => {
      const character = byte < 128 ? " " : (UPPER_HALVES[name][byte - 128] ?? " ");
      return character === " " ? String.fromCharCode(byte) : character;
    });
    if (this.isLossy) this.characters[SUBSTITUTE.charCodeAt(0)] = REPLACEMENT;
    this.characters.forEach((character, byte) => {
      this.bytes[character.charCodeAt(0)] = byte;
    });
  }

  /** The bytes of a text, or undefined if the encoding lacks one of its characters. */
  encode(text: string): string | undefined {
    const bytes = Buffer.allocUnsafe(text.length);
    for (let i = 0; i < text.length; i++) {
      const byte = this.bytes[text.charCodeAt(i)]!;
      if (byte < 0) return undefined;
      bytes[i] = byte;
    }
    return bytes.toString("latin1");
  }

  decode(bytes: string): string {
    let text = "";
    for (let i = 0; i < bytes.length; i++) text += this.characters[bytes.charCodeAt(i)];
    return text;
  }

  /** The characters of bytes `first` to `last`. */
  range(first: number, last: number): string {
    return this.characters.slice(first, last + 1).join("");
  }
}

/** In the order in which they are tried: the later ones are more often a wrong guess. */
export const CODE_PAGES = (Object.keys(UPPER_HALVES) as CodePageName[]).map((name) => new CodePage(name));

export function codePage(name: CodePageName): CodePage {
  return CODE_PAGES.find((page) => page.name === name)!;
}
