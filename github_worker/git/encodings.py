"""The encodings that a file may have in the worktree, as git converts them (utf8.c, with glibc's iconv).

Only names that iconv knows count, and of these the ones whose codec here agrees with glibc's byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

# By codec, the names that glibc has for it.
_NAMES: Final[Mapping[str, str]] = {
    "ascii": "ANSI_X3.4-1968 ANSI_X3.4-1986 ASCII CP367 CSASCII "
    "IBM367 ISO-IR-6 ISO646-US ISO_646.IRV:1991 US US-ASCII",
    "cp037": "CP037 CSIBM037 EBCDIC-CP-CA EBCDIC-CP-NL EBCDIC-CP-US EBCDIC-CP-WT IBM037",
    "cp1125": "CP1125 RUSCII",
    "cp1250": "CP1250 WINDOWS-1250",
    "cp1251": "CP1251 WINDOWS-1251",
    "cp1252": "CP1252 WINDOWS-1252",
    "cp1253": "CP1253 WINDOWS-1253",
    "cp1254": "CP1254 WINDOWS-1254",
    "cp1256": "CP1256 WINDOWS-1256",
    "cp1257": "CP1257 WINDOWS-1257",
    "cp437": "437 CP437 CSPC8CODEPAGE437 IBM437",
    "cp500": "500 CP500 CSIBM500 EBCDIC-CP-BE EBCDIC-CP-CH IBM500",
    "cp737": "CP737",
    "cp775": "CP775 CSPC775BALTIC IBM775",
    "cp850": "850 CP850 CSPC850MULTILINGUAL IBM850",
    "cp852": "852 CP852 CSPCP852 IBM852",
    "cp855": "855 CP855 CSIBM855 IBM855",
    "cp857": "857 CP857 CSIBM857 IBM857",
    "cp858": "858 CP858 IBM858",
    "cp860": "860 CP860 CSIBM860 IBM860",
    "cp861": "861 CP861 IBM861",
    "cp862": "862 CP862 CSPC862LATINHEBREW IBM862",
    "cp863": "863 CP863 CSIBM863 IBM863",
    "cp864": "864 CP864 CSIBM864 IBM864",
    "cp865": "865 CP865 CSIBM865 IBM865",
    "cp866": "866 CP866 CSIBM866 IBM866",
    "cp869": "869 CP-GR CP869 CSIBM869 IBM869",
    "cp874": "CP874",
    "cp949": "CP949 UHC",
    "gb2312": "EUC-CN EUCCN GB2312",
    "hp-roman8": "HP-ROMAN8 R8 ROMAN8",
    "iso8859-1": "CP819 CSISOLATIN1 IBM819 ISO-8859-1 ISO-IR-100 "
    "ISO8859-1 ISO_8859-1 ISO_8859-1:1987 L1 LATIN1 LATIN-1",
    "iso8859-10": "CSISOLATIN6 ISO-8859-10 ISO-IR-157 ISO8859-10 ISO_8859-10 ISO_8859-10:1992 L6 LATIN6",
    "iso8859-11": "ISO-8859-11 ISO8859-11",
    "iso8859-13": "ISO-8859-13 ISO8859-13 L7 LATIN7",
    "iso8859-14": "ISO-8859-14 ISO-CELTIC ISO-IR-199 ISO8859-14 ISO_8859-14 ISO_8859-14:1998 L8 LATIN8",
    "iso8859-15": "ISO-8859-15 ISO8859-15 ISO_8859-15 LATIN9",
    "iso8859-16": "ISO-8859-16 ISO-IR-226 ISO8859-16 ISO_8859-16 ISO_8859-16:2001 L10 LATIN10",
    "iso8859-2": "CSISOLATIN2 ISO-8859-2 ISO-IR-101 ISO8859-2 ISO_8859-2 ISO_8859-2:1987 L2 LATIN2",
    "iso8859-3": "CSISOLATIN3 ISO-8859-3 ISO-IR-109 ISO8859-3 ISO_8859-3 ISO_8859-3:1988 L3 LATIN3",
    "iso8859-4": "CSISOLATIN4 ISO-8859-4 ISO-IR-110 ISO8859-4 ISO_8859-4 ISO_8859-4:1988 L4 LATIN4",
    "iso8859-5": "CSISOLATINCYRILLIC CYRILLIC ISO-8859-5 ISO-IR-144 ISO8859-5 ISO_8859-5 ISO_8859-5:1988",
    "iso8859-6": "ARABIC ASMO-708 CSISOLATINARABIC ECMA-114 "
    "ISO-8859-6 ISO-IR-127 ISO8859-6 ISO_8859-6 ISO_8859-6:1987",
    "iso8859-7": "CSISOLATINGREEK ECMA-118 ELOT_928 GREEK GREEK8 "
    "ISO-8859-7 ISO-IR-126 ISO8859-7 ISO_8859-7 ISO_8859-7:1987",
    "iso8859-8": "CSISOLATINHEBREW HEBREW ISO-8859-8 ISO-IR-138 ISO8859-8 ISO_8859-8 ISO_8859-8:1988",
    "iso8859-9": "CSISOLATIN5 ISO-8859-9 ISO-IR-148 ISO8859-9 ISO_8859-9 ISO_8859-9:1989 L5 LATIN5",
    "koi8-r": "CSKOI8R KOI8-R",
    "koi8-t": "KOI8-T",
    "koi8-u": "KOI8-U",
    "kz1048": "RK1048 STRK1048-2002",
    "ptcp154": "PT154",
}
_UTF = re.compile(r"utf-?(.+)", re.IGNORECASE)
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_UTF32_BOMS = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")
# Without a byte order mark, glibc reads in the machine's own order: little-endian.
_UTF_READ: Final[Mapping[str, tuple[str, bytes]]] = {
    "16": ("utf-16", b""),
    "16le": ("utf-16-le", b""),
    "16be": ("utf-16-be", b""),
    "32": ("utf-32", b""),
    "32le": ("utf-32-le", b""),
    "32be": ("utf-32-be", b""),
}
_UTF_WRITE: Final[Mapping[str, tuple[str, bytes]]] = {
    **_UTF_READ,
    "16": ("utf-16-le", _UTF16_BOMS[0]),
    "32": ("utf-32-le", _UTF32_BOMS[0]),
    "16le-bom": ("utf-16-le", _UTF16_BOMS[0]),
    "16be-bom": ("utf-16-be", _UTF16_BOMS[1]),
}


def is_utf8(name: str) -> bool:
    """Tell whether a name is one of UTF-8, so that nothing has to be converted."""
    return _utf(name) == "8"


def to_utf8(data: bytes, name: str) -> bytes:
    """Convert from an encoding to UTF-8; raise LookupError for an unknown one, UnicodeError for a misfit."""
    utf = _utf(name)
    if utf == "16le-bom":  # one may be there, or another
        codec = "utf-16" if data.startswith(_UTF16_BOMS) else "utf-16-le"
    elif utf is None:
        codec = _codec(name)
    else:
        _check_order_mark(utf, data)
        codec, _ = _UTF_READ[utf]
    return data.decode(codec).encode()


def from_utf8(data: bytes, name: str) -> bytes:
    """Convert from UTF-8 to an encoding; raise LookupError for an unknown one, UnicodeError for a misfit."""
    utf = _utf(name)
    codec, mark = (_codec(name), b"") if utf is None else _UTF_WRITE[utf]
    return mark + data.decode().encode(codec)


def _utf(name: str) -> str | None:
    """Return what comes after `UTF-` in a name."""
    match = _UTF.fullmatch(name)
    return match[1].lower() if match else None


def _check_order_mark(utf: str, data: bytes) -> None:
    """Refuse what git refuses: a name that tells the order with a mark that does too, and neither of both."""
    marks = _UTF32_BOMS if utf.startswith("32") else _UTF16_BOMS
    if utf in {"16", "32"} and not data.startswith(marks):
        raise UnicodeError("it has no byte order mark, and the name does not tell the order")
    if utf in {"16le", "16be", "32le", "32be"} and data.startswith(marks):
        raise UnicodeError("it has a byte order mark, and the name tells the order already")


@cache
def _codecs() -> Mapping[str, str]:
    return {name: codec for codec, names in _NAMES.items() for name in names.split()}


def _codec(name: str) -> str:
    codec = _codecs().get(name.upper())
    if codec is None:
        raise LookupError("it is not a known encoding")
    return codec
