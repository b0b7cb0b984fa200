"""The notice that an enterprise reads before it signs: what follows for every consent, and what each mode lets the other side learn.

A consent names its notice by identifier, version, language and the SM3 digest of `Notice.text`, so what was shown can be proved later.
Therefore the words stand here and not in the catalogues: a changed word is a new version, and the old one stays (a test pins each).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from consent.documents import ItemMode, NoticePart
from trust.suite import sm3

NOTICE_ID: Final = "portal-consent-notice"


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One version in one language. `modes`: the leak statement of each mode that can be consented to."""

    version: str
    language: str
    general: tuple[str, ...]
    modes: Mapping[ItemMode, str]

    @property
    def text(self) -> str:
        """The whole notice, the way it is digested: a paragraph a line."""
        return "\n".join([*self.general, *(f"{mode.value}: {told}" for mode, told in self.modes.items())])

    @property
    def part(self) -> NoticePart:
        """How a consent names it."""
        digest = sm3(self.text.encode()).hex()
        return NoticePart(notice_id=NOTICE_ID, version=self.version, sm3=digest, language=self.language)


NOTICES: Final[Mapping[str, Notice]] = {
    "zh": Notice(
        version="1",
        language="zh-CN",
        general=(
            "数据由保管它的机构直接交给您授权的机构，只用于写明的目的、写明的数据项和写明的期限。",
            "两者之间的枢纽只转送密文：它知道谁在何时与谁交换了多少，但看不到内容。",
            "每一次使用，包括被拒绝的，都会写入无人能悄悄更改的记录，您可以随时查看并自行核验。",
            "您可以随时撤回，立即生效。撤回之前的使用仍然合法；机构留存的数据最迟在写明的保留期满时删除。",
        ),
        modes={
            ItemMode.Q: (
                "查询：对方看到所列字段的内容（按规则遮盖的部分除外），就像您把这张表给对方看了一遍。对方看过的东西无"
                "法收回。"
            ),
            ItemMode.R: "传输：对方得到记录的副本，并在写明的期限内保留。在这段时间里，副本的安全由对方负责。",
            ItemMode.V: (
                "核验：对方只得到“是”或“否”，或数值所在的区间，看不到数值本身。多次提问会让区间越来越准，因此每次"
                "提问都会留下记录。"
            ),
            ItemMode.J: (
                "联合计算：您的数值始终以加密形式留在保管机构。对方得到训练好的模型或一个评分。评分会透露一点关于您的情况"
                "（否则就没有用处），但不会透露任何一个数值；训练时对方还会知道您在参与计算的企业之列。"
            ),
        },
    ),
    "en": Notice(
        version="1",
        language="en",
        general=(
            (
                "The office that keeps the data gives it straight to the institution that you allow, only for the "
                "stated purpose, items and time."
            ),
            (
                "The hub between them passes on what is encrypted: it knows who exchanged how much with whom and "
                "when, and never the content."
            ),
            (
                "Every use, also one that is refused, is written into a record that nobody can change unseen; you "
                "can look and check at any time."
            ),
            "You can withdraw at any time, with effect at once. What was used before stays lawful; what the "
            "institution kept is deleted at "
            "the end of the stated time at the latest.",
        ),
        modes={
            ItemMode.Q: (
                "Query: the institution sees what stands in the fields named, except what the rules mask, as if "
                "you had shown it the "
                "sheet. What it has seen cannot be taken back."
            ),
            ItemMode.R: (
                "Transfer: the institution gets a copy of the records and keeps it for the stated time. For as "
                "long, the copy is as "
                "safe as the institution keeps it."
            ),
            ItemMode.V: (
                "Verification: the institution learns yes or no, or the range that a number lies in, never the "
                "number. Many questions "
                "would narrow the range; therefore each one is on record."
            ),
            ItemMode.J: (
                "Joint computation: your numbers stay encrypted with the office that keeps them. The institution "
                "gets a trained model, or "
                "a score. A score tells a little about you, or it would be of no use, but none of your numbers; "
                "in a training the "
                "institution also learns that your enterprise is among those computed with."
            ),
        },
    ),
}
"""The newest version, by the portal's language."""
