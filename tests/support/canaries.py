"""Records that are told apart from everything else, and a search for them in any spelling."""

import base64
import re
import zlib

import numpy as np

WORDS = ("Tintenfisch", "Zwetschge", "Ochsenfurt", "Quirinal")


class Canaries:
    """What was planted: texts, byte images and rows of numbers."""

    def __init__(self):
        self.needles = {}

    def text(self, name, text):
        """A file name, a label, an identifier."""
        raw = text.encode()
        self._bytes(name, raw)
        for codec in ("utf-16-le", "utf-16-be", "utf-32-le"):
            self._add(f"{name} {codec}", text.encode(codec))

    def numbers(self, name, row):
        """A record of at least four numbers; any four in a row of it count as found."""
        row = np.asarray(row, dtype=np.float64)
        assert len(row) >= 4
        for kind in ("<f4", ">f4", "<f8", ">f8", "<f2"):
            self._bytes(f"{name} {kind}", row[:4].astype(kind).tobytes())
        bf16 = (row[:4].astype("<f4").view("<u4") >> 16).astype("<u2")
        self._add(f"{name} bfloat16", bf16.tobytes())
        for scale in (1, 1e6):
            whole = (row[:4].astype("<f4") * np.float32(scale)).astype(np.int64)
            if len({*whole.tolist()}) == 4:  # otherwise zeros would be found everywhere
                for kind in ("<i8", ">i8", "<i4", ">i4"):
                    self._add(f"{name} x{scale:g} {kind}", whole.astype(kind).tobytes())
        for value in row[:2].astype("float32"):
            self._add(f"{name} decimal", repr(float(value)).encode())

    def image(self, name, pixels):
        """Bytes, also as floats that a loader makes of them."""
        pixels = np.asarray(pixels, dtype=np.uint8)
        self._bytes(name, pixels.tobytes())
        for kind in ("<f4", ">f4", "<f8", "<f2"):
            self._add(f"{name} /255 {kind}", (pixels[:8].astype("f8") / 255).astype(kind).tobytes())
            self._add(f"{name} {kind}", pixels[:8].astype(kind).tobytes())
        for kind in ("<i4", "<i8"):
            self._add(f"{name} {kind}", pixels[:8].astype(kind).tobytes())

    def search(self, places):
        """Where anything planted occurs: ``(place, needle)`` for every hit."""
        return sorted(
            {
                (place, name)
                for place, content in places
                for view in _views(content)
                for name, needle in self.needles.items()
                if needle in view
            }
        )

    def _bytes(self, name, raw):
        self._add(f"{name} raw", raw)
        self._add(f"{name} hex", raw.hex().encode())
        self._add(f"{name} HEX", raw.hex().upper().encode())
        self._add(f"{name} reversed", raw[::-1])
        for offset in range(3):
            # What surrounds a needle changes its first and last characters only.
            coded = base64.b64encode(bytes(offset) + raw)[(8 * offset + 5) // 6 :]
            whole = coded[: (8 * len(raw) - 6) // 6]
            self._add(f"{name} base64+{offset}", whole)
            self._add(f"{name} base64url+{offset}", whole.replace(b"+", b"-").replace(b"/", b"_"))

    def _add(self, name, needle):
        assert len(needle) >= 6, name
        self.needles[name] = bytes(needle)


def _views(content):
    """The bytes themselves, and whatever zlib streams they hold."""
    yield content
    for match in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", content[: 1 << 22]):
        unpacker = zlib.decompressobj()
        try:
            plain = unpacker.decompress(content[match.start() :], 1 << 22)
        except zlib.error:
            continue
        if len(plain) > 16:
            yield plain
