#!/usr/bin/env python3
"""Writes src/recognize/phone_lengths.rs from libphonenumber's metadata, as its Python port carries it.

    pip install phonenumbers==9.0.43 && python3 collector/masking/data/phone_lengths.py
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import phonenumbers

HEAD = '''//! Country calling codes and the lengths of their national numbers, from libphonenumber {version}.
//!
//! Written by `data/phone_lengths.py`; lengths that are only dialled locally are left out.

/// The least digits of an international number, country code included: shorter ones are services and extensions.
const DIGITS_MIN: usize = 8;

/// Whether digits, country code first, are as many as a number of that country has. A trunk zero that is written in
/// parentheses, as in `+44 (0)20 …`, may be among them.
pub(crate) fn is_possible(digits: &[u8]) -> bool {{
    let possible = |code: usize, lengths: u16| {{
        let national = digits.len() - code;
        let trunk = digits[code] == b'0' && national > 1 && lengths & 1 << (national - 1) != 0;
        national < 16 && lengths & 1 << national != 0 || trunk && national < 17
    }};
    let code_of = |count: usize| digits[..count].iter().fold(0, |code, d| code * 10 + u16::from(d - b'0'));
    digits.len() >= DIGITS_MIN
        && (1..=3).any(|count| {{
            let found = CODES.binary_search_by_key(&code_of(count), |(code, _)| *code);
            found.is_ok_and(|i| possible(count, CODES[i].1))
        }})
}}

/// A code, and a bit for each length.
#[rustfmt::skip]
const CODES: &[(u16, u16)] = &[
'''


def lengths() -> dict[int, set[int]]:
    """Possible lengths of a national number by country calling code."""
    found: dict[int, set[int]] = defaultdict(set)
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        for region in regions:
            if region == "001":
                metadata = phonenumbers.PhoneMetadata.metadata_for_nongeo_region(code)
            else:
                metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
            if metadata is not None:
                found[code] |= set(metadata.general_desc.possible_length)
    # seven digits are dialled within an area of the North American plan only
    found[1] = {10}
    return found


def main() -> None:
    """Writes the file."""
    rows = [f"({code}, {sum(1 << n for n in some if n < 16)})," for code, some in sorted(lengths().items())]
    lines = [" ".join(rows[i : i + 8]) for i in range(0, len(rows), 8)]
    text = HEAD.format(version=phonenumbers.__version__) + "".join(f"    {line}\n" for line in lines) + "];\n"
    (Path(__file__).parents[1] / "src/recognize/phone_lengths.rs").write_text(text)


if __name__ == "__main__":
    main()
