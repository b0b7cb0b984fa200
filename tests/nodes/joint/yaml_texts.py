"""Texts for the readers of YAML: most are not YAML, and many come close."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

_PIECES: Final = [
    *"ab01-+.:,?&*!|>%@#'\"[]{}~<=\\xuU_eE \n\t\0\ud800汉",
    *(
        "---\n",
        "...\n",
        "- ",
        ": ",
        "? ",
        "\n  ",
        "!!int ",
        "!!timestamp ",
        "<<: ",
        "%YAML ",
        "&a ",
        "*a",
        "2020-13-45",
        "0x_",
    ),
]
YAML_LIKE: Final = st.lists(st.sampled_from(_PIECES), max_size=40).map("".join)
