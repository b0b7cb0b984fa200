"""Where a policy holds: the whole country, or a region by its code (GB/T 2260), shown by its province."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from portal.text import Text

NATIONAL: Final = "00"
PROVINCES: Final[Mapping[str, Text]] = {
    "11": Text("Beijing"),
    "12": Text("Tianjin"),
    "13": Text("Hebei"),
    "14": Text("Shanxi"),
    "15": Text("Inner Mongolia"),
    "21": Text("Liaoning"),
    "22": Text("Jilin"),
    "23": Text("Heilongjiang"),
    "31": Text("Shanghai"),
    "32": Text("Jiangsu"),
    "33": Text("Zhejiang"),
    "34": Text("Anhui"),
    "35": Text("Fujian"),
    "36": Text("Jiangxi"),
    "37": Text("Shandong"),
    "41": Text("Henan"),
    "42": Text("Hubei"),
    "43": Text("Hunan"),
    "44": Text("Guangdong"),
    "45": Text("Guangxi"),
    "46": Text("Hainan"),
    "50": Text("Chongqing"),
    "51": Text("Sichuan"),
    "52": Text("Guizhou"),
    "53": Text("Yunnan"),
    "54": Text("Tibet"),
    "61": Text("Shaanxi"),
    "62": Text("Gansu"),
    "63": Text("Qinghai"),
    "64": Text("Ningxia"),
    "65": Text("Xinjiang"),
    "71": Text("Taiwan"),
    "81": Text("Hong Kong"),
    "82": Text("Macao"),
}
SCOPES: Final[Mapping[str, Text]] = {NATIONAL: Text("National"), **PROVINCES}


def province_of(region: str) -> str:
    """The first two digits of a region; `NATIONAL` for none."""
    return region[:2] if region else NATIONAL


def region_name(region: str) -> Text:
    """What a region is called: below a province its name and the code."""
    province = SCOPES[province_of(region)]
    return province if region[2:] in {"", "0000"} else Text("{province}, region {code}", province=province, code=region)
