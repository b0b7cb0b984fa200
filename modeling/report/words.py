"""The texts of a report's page, in both languages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from modeling.errors import DataUnusable

_TEXTS: Final[dict[str, tuple[str, str]]] = {
    "report": ("Joint model report", "联合建模报告"),
    "roc": ("ROC", "ROC 曲线"),
    "ks_curve": ("KS", "KS 曲线"),
    "lift": ("Lift", "提升度"),
    "scores": ("Distribution of scores", "评分分布"),
    "calibration": ("Calibration", "校准"),
    "training_curve": ("Training curve", "训练曲线"),
    "cost": ("Communication and time by phase", "各阶段通信量与耗时"),
    "woe": ("WOE", "WOE"),
    "goods_refused": ("Share of goods refused", "好客户拒绝率"),
    "bads_refused": ("Share of bads refused", "坏客户拒绝率"),
    "chance": ("By chance", "随机"),
    "threshold": ("Threshold", "阈值"),
    "share_refused": ("Share at or above", "达到阈值的比例"),
    "bads": ("Bads", "坏客户"),
    "goods": ("Goods", "好客户"),
    "decile": ("Tenth of the rows, riskiest first", "十分位(风险由高到低)"),
    "lift_axis": ("Times the average default rate", "为平均违约率的倍数"),
    "probability": ("Probability of default", "违约概率"),
    "share_of_rows": ("Share of rows", "占比"),
    "predicted": ("Predicted", "预测"),
    "observed": ("Observed", "实际"),
    "perfect": ("Perfect", "完全校准"),
    "trees": ("Trees", "树"),
    "log_loss": ("Log loss", "对数损失"),
    "megabytes": ("Megabytes", "兆字节"),
    "seconds": ("Seconds", "秒"),
    "default_rate": ("Default rate", "违约率"),
    "test": ("Test", "测试集"),
    "train": ("Training", "训练集"),
    "prepare": ("Preparation", "数据准备"),
    "score": ("Scoring", "评分"),
    "what_it_is": ("The model", "模型"),
    "how_good": ("How good it is", "效果"),
    "plots": ("Plots", "图表"),
    "who": ("Parties", "参与方"),
    "cohort": ("Enterprises", "企业样本"),
    "leaks": ("What each party learned", "各参与方获知的信息"),
    "leaks_note": (
        "This is the statement for this very run: what each party could see, beside its own part of the model.",
        "以下为本次运行的声明:除自身模型部分外,各方能够看到的全部信息。",
    ),
    "importance": ("What the model looks at", "变量重要性"),
    "scorecard": ("Scorecard, own part", "评分卡(本方部分)"),
    "columns": ("Columns", "列数"),
    "own_columns": ("Own columns", "本方变量"),
    "name": ("Name", "名称"),
    "role": ("Role", "角色"),
    "product": ("Product", "数据产品"),
    "active": ("active", "发起方"),
    "passive": ("passive", "参与方"),
    "figure": ("Figure", "指标"),
    "interval": ("95% interval", "95% 区间"),
    "rows": ("Rows", "行数"),
    "events": ("Events", "违约数"),
    "auc": ("AUC", "AUC"),
    "ks": ("KS", "KS"),
    "gini": ("Gini", "基尼系数"),
    "brier": ("Brier score", "Brier 分数"),
    "calibration_error": ("Calibration error", "校准误差"),
    "stability": ("Stability (PSI)", "稳定性(PSI)"),
    "confusion": ("At the threshold", "阈值下的结果"),
    "precision": ("Precision", "精确率"),
    "recall": ("Recall", "召回率"),
    "approval_rate": ("Approved", "通过率"),
    "bad_rate": ("Bad rate of the approved", "通过客户违约率"),
    "baselines": ("Beside it", "对照"),
    "value": ("Value", "数值"),
    "information": ("IV", "IV"),
    "lowest": ("Lowest", "最低"),
    "highest": ("Highest", "最高"),
    "points": ("Points", "分值"),
    "base_points": ("Base points", "基础分"),
    "consented": ("In the job by consent", "经授权进入"),
    "usable": ("With a label, let in by all", "有标签且各方准入"),
    "withdrawn": ("Left by withdrawal while it ran", "训练期间撤回"),
    "refused": ("Consents not admitted", "未准入的授权"),
    "left_out": ("Left out (constant or empty)", "剔除(常数或空)"),
    "commitment": ("Commitment", "模型承诺"),
    "made": ("Made", "生成时间"),
    "purpose": ("Purpose", "用途"),
    "reason": ("Reason", "事由"),
    "algorithm": ("Algorithm", "算法"),
    "logistic": ("Vertical logistic regression", "纵向逻辑回归"),
    "boosting": ("Vertical gradient boosting", "纵向梯度提升"),
    "settings": ("Settings", "参数"),
    "steps": ("Steps or trees", "步数/棵数"),
    "of_party": ("all columns of", "全部变量:"),
    "attempts": ("Attempts", "尝试次数"),
    "hub": ("The hub", "枢纽"),
}

LANGUAGES: Final = ("en", "zh")


def words_of(language: str) -> Callable[[str], str]:
    """The texts in a language; a text that is not listed is a mistake of ours. Raises DataUnusable for another language."""
    if language not in LANGUAGES:
        raise DataUnusable(f"reports are written in {' and '.join(LANGUAGES)}, not in {language!r}")
    place = LANGUAGES.index(language)
    return lambda name: _TEXTS[name][place]
