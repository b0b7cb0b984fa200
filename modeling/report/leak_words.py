"""The leak statement in Chinese: the English paragraph, its numbers left open, is the key (as gettext has it).

The English text of modeling/jobs/leaks.py is the statement, and stands below its translation on the page; a test asks for a
translation of each of its paragraphs.
"""

from __future__ import annotations

import re
from typing import Final

_NUMBER: Final = re.compile(r"\d[\d,]*")

_PARAGRAPHS: Final = {
    # the hub
    "Who trains with whom, for which purpose and with which items; when, and how many bytes pass. What passes is encrypted "
    "between the nodes.": "谁与谁联合训练、用于何种目的、使用哪些信息项；训练的时间和传输的字节数。传输内容在节点之间加密。",
    "The commitment to the model, and a commitment to the enterprises that were in it.": "模型的承诺值，以及参与训练企业的承诺值。",
    # the cohort
    "Which of the enterprises that consented each provider lets in; not for which of them it has a record.": (
        "在已授权的企业中，各提供方准入了哪些；但不知道提供方对其中哪些企业有记录。"
    ),
    "Which of its consents are in the job; no label, and not for whom the bank has one or a record.": (
        "其持有的授权中有哪些进入了本次任务；不知道任何标签，也不知道银行对哪些企业有标签或记录。"
    ),
    "Which enterprises left while it ran, and at which provider.": "训练期间有哪些企业退出，以及在哪个提供方退出。",
    "Which of the job's rows left while it ran, not whose consent ended; how many parties there are.": (
        "训练期间任务中有哪些行退出，但不知道是哪一方的授权终止；以及共有多少个参与方。"
    ),
    "The other providers' nodes: with these it talks too, sealed, through the bank.": (
        "其他提供方的节点：与这些节点也有通信，内容经密封后由银行转发。"
    ),
    # the choice of columns
    "For each bin of a provider's columns, in an order that says nothing of column or value, how many training rows and how many "
    "defaults it holds: not for fewer than {} rows.": (
        "提供方变量每个分箱中的训练样本数和违约数，其排列顺序不透露变量或取值；少于 {} 行的分箱不会给出。"
    ),
    "How many training rows with a label, and how many defaults, each bin of its columns holds: their weight of evidence and "
    "information value.": "自己变量每个分箱中有标签的训练样本数和违约数，即这些变量的证据权重和信息值。",
    "How strongly each of its columns that it would keep moves with each one of the other side, to a thousandth.": (
        "自己拟保留的每个变量与对方每个变量的相关系数，精确到千分之一。"
    ),
    "How strongly each of its columns that it would keep moves with each one of every other party, to a thousandth, and how many "
    "columns each would keep.": "自己拟保留的每个变量与其他各方每个变量的相关系数，精确到千分之一；以及各方拟保留多少个变量。",
    "How many columns each provider leaves out because they say the same as another provider's.": (
        "每个提供方因与其他提供方的变量含义相同而舍弃了多少个变量。"
    ),
    # logistic regression
    "Nothing of a provider's features, coefficients, gradients or single predictors in training: shares and masked sums are random.": (
        "训练中不获知提供方的任何变量、系数、梯度或单个线性预测值：所见的份额与加掩码的和均为随机数。"
    ),
    "How its columns and each provider's move together, in directions that only their owners know; how many columns a provider has; "
    "by how much each step changed the model.": (
        "自己的变量与各提供方变量之间的相关程度，但其方向只有变量所有者知道；提供方有多少个变量；以及每一步使模型改变了多少。"
    ),
    "Its own coefficients, once, at the end: an equation for each of its columns, kept below a sixteenth of the rows. No gradient.": (
        "自己的系数，仅在训练结束时一次：自己的每个变量一个方程，其数量始终不超过行数的十六分之一。不获知任何梯度。"
    ),
    "The first provider: how all parties' columns move together, in directions that only their owners know.": (
        "第一提供方：各参与方变量之间的相关程度，但其方向只有变量所有者知道。"
    ),
    "The number of steps and everybody's number of columns; no label, no coefficient of others, no score.": (
        "训练步数和各方的变量数；不知道任何标签、他方的系数或评分。"
    ),
    "The sum of the providers' parts of the score of each of {} test enterprises.": "{} 家测试企业中每一家的评分里，各提供方部分之和。",
    "The provider's part of the score of each of {} test enterprises: one number each, of unknown weights.": (
        "{} 家测试企业中每一家的评分里，提供方的部分：每家一个数值，其权重未知。"
    ),
    # boosting
    "For each node of a tree the sums of its own gradients left of each candidate split of a provider, in an order that says nothing "
    "of feature or threshold; sums over fewer rows than the job's `min_rows` are left out.": (
        "在树的每个节点上，提供方每个候选分裂点左侧的、银行自身梯度之和；其排列顺序不透露变量或阈值，"
        "少于任务参数 `min_rows` 行的和不会给出。"
    ),
    "Which enterprises go left at a split of a provider that it chose; how many candidate splits a provider has.": (
        "在银行选中的提供方分裂点上，哪些企业进入左侧；以及提供方有多少个候选分裂点。"
    ),
    "For each test enterprise, on which side of each split of a provider it stands.": (
        "每家测试企业位于提供方每个分裂点的哪一侧。"
    ),
    "Which enterprises are together in a node of a tree, whoever parted them, and how many trees there are; gradients are encrypted.": (
        "哪些企业同处于树的一个节点（无论由哪一方分开），以及树的棵数；梯度是加密的。"
    ),
    "Its own splits: feature and threshold. No label, no gradient, no leaf weight, no score.": (
        "自己的分裂点：变量和阈值。不知道任何标签、梯度、叶子权重或评分。"
    ),
}


def in_chinese(paragraph: str) -> str:
    """A paragraph of the statement; as it is, where there is no translation."""
    found = _PARAGRAPHS.get(_NUMBER.sub("{}", paragraph))
    return paragraph if found is None else found.format(*_NUMBER.findall(paragraph))
