"""Captions of every Unicode block and every kind of damage that ftfy repairs, with ftfy's text and open_clip's ids.

python make_captions.py FILE [COUNT] [SEED]: one line of JSON per caption: [caption, fixed text, ids].
"""

import html
import html.entities
import json
import random
import sys
import unicodedata

import libraries  # noqa: F401
import ftfy
from ftfy.chardata import CHARMAP_ENCODINGS
from open_clip.tokenizer import SimpleTokenizer

COUNT = 60_000
CONTEXT_LENGTH = 77

SENTENCES = [
    "A dog catches a frisbee in the park, mid-air!",
    "it’s the owner’s “favourite” photo — 20°C … £30, €5, ½ price",
    "“We’ll see”, she said – and they’re here… don’t",
    "Una niña pequeña come piñas en el café; ¿qué más quieres? ¡Olé!",
    "L'été à la plage : une crêpe, un œuf, cœur brisé, Noël, garçon déçu, où ça?",
    "Às vezes àquela hora não há pão, avós, coração e açúcar",
    "Größe ändern: Füße, Übermut, Straße, „Baum“, schön",
    "Più caffè perché è così, città e virtù",
    "Ångström, smörgåsbord, blåbær, Ærø, fjørður, þetta er hús á Íslandi",
    "Zażółć gęślą jaźń, Łódź, żółw, źdźbło",
    "Příliš žluťoučký kůň úpěl ďábelské ódy",
    "Árvíztűrő tükörfúrógép, őszi erdő",
    "În grădină sînt țări și șoareci, ţară, şarpe",
    "Šuma, čaša, đak, žaba; Ljubav, ǅep, Njemačka",
    "Ąžuolas šaltinis ėjo į mišką, ūkininkė",
    "Zaļš ķirbis, ģimene, ņem šūpoles, ērglis",
    "İstanbul'da ışık, çağ, güneş, öğretmen",
    "Съешь же ещё этих мягких французских булок, да выпей чаю",
    "Їжак і ґанок, Київ, п'ять",
    "Ђорђе љуби њу, џез и ћуран",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία, ΟΔΟΣ ΑΘΗΝΑΣ ς",
    "كلب يلعب في الحديقة مع طفل صغير، ٢٠٢٤",
    "כלב רץ בפארק עם ילד",
    "एक कुत्ता बगीचे में खेल रहा है",
    "ஒரு நாய் பூங்காவில் விளையாடுகிறது",
    "สุนัขวิ่งเล่นในสวนสาธารณะ",
    "一只狗在公园里玩耍，天气很好。",
    "犬が公園で遊んでいます。ｶﾀｶﾅとＡＢＣ１２３！",
    "개가 공원에서 놀고 있다 ￦１００",
    "Chó chạy trong công viên, trời đẹp quá, ường ượng",
    "😀 👍🏽 👨‍👩‍👧 🇫🇷 ❤️ ✨ emoji ✔ ♥ ™ ® ©",
    "ꙮ 𝒥ohn ℋ 𐍈 🏴󠁧󠁢󠁷󠁬󠁳󠁿 ∀x∈ℝ: ⌈x⌉ = −⌊−x⌋",
    "o�ce ﬁsh ﬂower oﬃce ﬄ ﬀ ﬅ ﬆ ŉot ĳs ǆ Ǌ",
    "┌──┐ ║ ▒▓ │ ☺ ♪ ▄█▀ (òÓ) ಠ_ಠ ¯\\_(ツ)_/¯",
]

SPECIAL = (
    [chr(i) for i in range(0x00, 0x100)]
    + [chr(i) for i in range(0x2000, 0x2070)]
    + [chr(i) for i in range(0xFF00, 0xFFF0)]
    + list("ĲĳŉǱǲǳǄǅǆǇǈǉǊǋǌﬀﬁﬂﬃﬄﬅﬆʼ΄΅ſKÅİıςΣσẞßŒœ\u3000\ufeff\ufffd\ufffc\ufff9\u0345\u0301\u0323\u05b0\u1680")
)
TERMINAL = ["\x1b[31m", "\x1b[0m", "\x1b[1;32m", "\x1b[", "\x1b", "\x1b[;H", "\x1b[٣m"]
NAMES = list(html.entities.html5)
LINE_BREAKS = ["\n", "\r\n", "\r", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\n\n"]
SPACES = [" ", "  ", "\t", "\xa0", "\u2003", "\u200b", "\x1c", "\x1f", "\u3000"]
MARKUP = ["<", ">", "<b>", "</b>", "&lt;", "&gt;", "&", ";", "&&", "&amp;"]
SURROGATES = ["\ud83d", "\ude00", "\ud800", "\udfff", "\ud83d\ude00", "\ude00\ud83d"]


def is_known(character):
    """Later versions of Unicode give unassigned code points properties, so that peers differ."""
    return unicodedata.category(character) != "Cn"


def known_blocks(size=128):
    """Ranges of `size` code points with at least one character."""
    for start in range(0, 0x110000, size):
        known = [chr(i) for i in range(start, start + size) if is_known(chr(i))]
        if known:
            yield known


class Captions:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.sentences = list(SENTENCES)

    def pick(self, choices):
        return self.random.choice(choices)

    def phrase(self):
        """A part of a sentence, or the whole."""
        words = self.pick(self.sentences).split(" ")
        start = self.random.randrange(len(words))
        return " ".join(words[start : start + self.random.randint(1, len(words))])

    def of_block(self, block):
        text = "".join(self.pick(block) for _ in range(self.random.randint(1, 12)))
        return self.pick([text, text, f"a {text} b", f"{self.phrase()} {text}", text[:2] + "\u0301\u0323" + text[2:]])

    def reference(self):
        name = self.pick(NAMES)
        code = self.pick([self.random.randrange(0x3000), self.random.randrange(0x120000), self.random.randrange(256)])
        return self.pick(
            [
                f"&{name}",
                f"&{name.rstrip(';')};",
                f"&{name.upper()}",
                f"&{name.lower()}",
                f"&{name.rstrip(';')}{self.pick(['x', '9', ' ', '=', 'é'])}",
                f"&#{code};",
                f"&#{code}",
                f"&#x{code:x};",
                f"&#X{code:X}",
                f"&#x{code:x}g;",
                f"&amp;{name}",
                f"&amp;amp;{name}",
                f"&#38;{name}",
                f"&AMP;lt;",
                "&#8217;",
                "&#0;",
                "&#x;",
                "&#;",
                "&;",
            ]
        )

    def mojibake(self, text, encoding, errors):
        """Text whose UTF-8 was decoded as `encoding`."""
        data = text.encode("utf-8", "surrogatepass")
        kind = self.random.randrange(8)
        if kind == 0:
            data = data[: self.random.randint(0, len(data))]
        elif kind == 1 and data:
            at = self.random.randrange(len(data))
            data = data[:at] + data[at + 1 :]
        elif kind == 2:
            data = "".join(self.pair(c) for c in text).encode("utf-8", "surrogatepass")
        return data.decode(encoding, errors)

    @staticmethod
    def pair(character):
        """A character outside the basic plane as two surrogates."""
        code = ord(character) - 0x10000
        return character if code < 0 else chr(0xD800 + (code >> 10)) + chr(0xDC00 + (code & 0x3FF))

    def damaged(self, text=None, depth=None):
        text = text or self.phrase()
        for _ in range(depth or self.pick([1, 1, 1, 2, 2, 3])):
            encoding = self.pick(CHARMAP_ENCODINGS)
            if self.random.random() < 0.3:
                encoding = encoding.replace("sloppy-", "")
            text = self.mojibake(text, encoding, self.pick(["replace", "replace", "ignore"]))
        kind = self.random.randrange(10)
        if kind == 0:
            text = text.replace("\xa0", " ")
        elif kind == 1:
            text = text.replace("\ufffd", "?")
        elif kind == 2:
            text = text.lower() if self.random.random() < 0.5 else text.upper()
        elif kind == 3:
            text = f"{self.phrase()} {text} {self.phrase()}"
        elif kind == 4:
            text = text[self.random.randrange(len(text) + 1) :]
        elif kind == 5:
            text = f"{self.phrase()}\n{text}"
        return text

    def misread(self):
        """Text in one encoding decoded as another."""
        a, b = self.pick(CHARMAP_ENCODINGS), self.pick(CHARMAP_ENCODINGS)
        return self.phrase().encode(a, "ignore").decode(b, "replace")

    def mixed(self):
        kinds = [
            self.phrase,
            lambda: self.pick(SPECIAL),
            self.reference,
            self.damaged,
            lambda: self.pick(TERMINAL),
            lambda: self.pick(LINE_BREAKS),
            lambda: self.pick(SPACES),
            lambda: self.pick(MARKUP),
            lambda: self.pick(SURROGATES),
            lambda: self.pick(self.blocks_cache),
            lambda: self.pick(["<html>", "'s", "'ſ", "'LL", "123", "--", "!!!"]),
        ]
        return "".join(self.pick(kinds)() for _ in range(self.random.randint(1, 8)))

    def noise(self):
        """Characters of mojibake in random order, to which the rules on adjacent characters apply."""
        letters = "aZ ,.é·\n" + "".join(bytes(range(128, 256)).decode(e) for e in [self.pick(CHARMAP_ENCODINGS)])
        return "".join(self.pick(letters) for _ in range(self.random.randint(1, 10)))

    def pairs(self):
        """Two or three characters of mojibake in a harmless sentence."""
        pool = self.mojibake_characters
        return self.pick(["", "a ", "a", "Z", "\t"]) + "".join(
            self.pick(pool) for _ in range(self.random.randint(2, 4))
        ) + self.pick(["", " b", "b", "1", "."])

    def long(self):
        parts = [self.pick([self.phrase, self.damaged, self.mixed])() for _ in range(self.random.randint(5, 40))]
        return self.pick([" ", "\n", ""]).join(parts)

    def all(self, count):
        blocks = list(known_blocks())
        self.blocks_cache = ["".join(self.pick(block) for _ in range(3)) for block in blocks]
        self.mojibake_characters = sorted(
            {c for e in CHARMAP_ENCODINGS for c in bytes(range(128, 256)).decode(e)} | set("ЂЃº ’")
        )
        yield from (character for block in blocks for character in block if ord(character) < 0x3400)
        yield from (f"&{name}" for name in NAMES)
        yield from (f"a &{name.rstrip(';').upper()}; b" for name in NAMES)
        for encoding in CHARMAP_ENCODINGS:
            for sentence in SENTENCES:
                for errors in ["replace", "ignore"]:
                    yield sentence.encode().decode(encoding, errors)
                    yield sentence.encode().decode(encoding.replace("sloppy-", ""), errors)
                    yield sentence.encode().decode(encoding, errors).encode().decode("sloppy-windows-1252", errors)
        kinds = [self.damaged] * 5 + [self.mixed] * 5 + [self.noise] * 2 + [self.pairs] * 3 + [self.misread, self.reference]
        made = 0
        while made < count:
            for block in blocks if made < count // 4 else ():
                yield self.of_block(block)
                made += 1
            for _ in range(1000):
                yield self.pick(kinds)()
            for _ in range(10):
                yield self.long()
            made += 1010


def main(path, count=COUNT, seed=1):
    tokenizer = SimpleTokenizer()
    seen = set()
    with open(path, "w", encoding="ascii") as file:
        for caption in Captions(int(seed)).all(int(count)):
            caption = json.loads(json.dumps(caption))
            if caption in seen or "of_text>" in caption.lower():
                continue
            fixed = ftfy.fix_text(caption)
            if not all(map(is_known, caption + html.unescape(html.unescape(fixed)))):
                continue
            seen.add(caption)
            ids = tokenizer(caption, CONTEXT_LENGTH)[0].tolist()
            print(json.dumps([caption, fixed, ids]), file=file)
    print(f"{len(seen)} captions, ftfy {ftfy.__version__}")


if __name__ == "__main__":
    main(*sys.argv[1:])
