"""The texts of a report's page, in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from modeling.errors import DataUnusable
from modeling.report.leak_words import in_chinese

_TEXTS: Final[dict[str, tuple[str, str]]] = {
    "report": ("Joint model report", "联合建模报告"),
    "unsettled": ("the training had not settled when it ended", "训练结束时尚未收敛"),
    # headings
    "how_good": ("How good it is", "模型效果"),
    "confusion": (
        "If everybody from a default probability of {threshold} up is refused",
        "若拒绝违约概率不低于 {threshold} 的客户",
    ),
    "plots": ("Plots", "图表"),
    "deciles": ("By tenths of the test rows", "测试集十分位明细"),
    "score_bands": ("Scores of training and test rows by band", "训练集与测试集的评分分段"),
    "importance": ("What the model looks at", "变量重要性"),
    "scorecard": ("Scorecard, own part", "评分卡（本方部分）"),
    "own_columns": ("Own columns", "本方变量"),
    "who": ("Parties", "参与方"),
    "cohort": ("Enterprises", "企业样本"),
    "leaks": ("What each party learned", "各参与方获知的信息"),
    "costs": ("Time and communication", "耗时与通信量"),
    "what_it_is": ("The model", "模型信息"),
    "baselines": ("What the exchange adds", "数据交换的增益"),
    # notes
    "good_note": (
        "Test rows took no part in the training. An interval is where the figure lies in 95 of 100 repeated draws of the test rows.",
        "测试集未参与训练。区间表示对测试集重复抽样时，100 次中有 95 次指标落入的范围。",
    ),
    "baselines_note": (
        "Same algorithm, settings and rows. A difference that is small beside the interval above may be chance.",
        "相同算法、相同参数、相同样本。若差异远小于上述区间，可能只是偶然。",
    ),
    "own_alone": ("The asking party's own columns alone", "仅用发起方自身变量"),
    "roc_note": (
        "How many bads are refused for how many goods. The further above the dotted line, the better.",
        "拒绝一定比例的好客户时，能拒绝多少坏客户。曲线越高于虚线越好。",
    ),
    "ks_note": (
        "The widest gap between the lines is KS; the dotted line marks it.",
        "两条曲线的最大间距即 KS，虚线标出其位置。",
    ),
    "gains_note": (
        "Refusing the riskiest share of the rows catches this share of the bads.",
        "拒绝风险最高的这部分客户，可识别出的坏客户占比。",
    ),
    "lift_note": (
        "The default rate in each tenth, in multiples of the average (dotted line).",
        "每个十分位的违约率相对平均水平（虚线）的倍数。",
    ),
    "calibration_note": (
        "On the dotted line the predicted probability is what happens.",
        "位于虚线上表示预测概率与实际违约率一致。",
    ),
    "scores_note": (
        "Training and test rows should look alike.",
        "训练集与测试集的分布应当接近。",
    ),
    "curve_note": (
        "Log loss of the training rows after each tree; lower is better.",
        "每棵树之后训练集的对数损失，越低越好。",
    ),
    "steps_note": (
        "By how much each step changed the log odds of the training rows (root mean square); training ends where it is small.",
        "每一步使训练集对数几率改变了多少（均方根）；改变足够小时训练结束。",
    ),
    "costs_note": ("As the asking party saw it.", "发起方一侧的统计。"),
    "cost_note": ("As the asking party saw it, sent and received together.", "发起方一侧的统计，含发送与接收。"),
    "bands_note": (
        "The stability index (PSI) compares shares by band: below 0.1 the rows are alike, above 0.25 they are another population.",
        "稳定性指数（PSI）按分段比较占比：低于 0.1 为稳定，高于 0.25 表示客群已明显变化。",
    ),
    "importance_boosting": (
        "Total gain of the splits. Of another party only the total is known here; which of its columns gained, only it knows.",
        "按分裂总增益统计。其他参与方仅显示合计，具体由哪些变量贡献只有该方自己知道。",
    ),
    "importance_logistic": (
        "Size of the coefficient of the standardised column. The other parties' coefficients are theirs alone.",
        "标准化变量系数的绝对值。其他参与方的系数仅其自身掌握。",
    ),
    "scorecard_note": (
        "More points are less risk. {base} points mean {odds} goods for one bad; every {pdo} points more double that.",
        "分数越高风险越低。{base} 分对应好坏比 {odds}:1，每增加 {pdo} 分好坏比翻倍。",
    ),
    "own_note": (
        "Over the training rows, by the asking party alone, from its own columns. WOE above 0: more defaults than on average.",
        "基于训练集。WOE 大于 0 表示违约高于平均水平。以下内容由发起方仅用自身变量计算。",
    ),
    "leaks_note": (
        "The statement for this very run: what each party could see, beside its own data and its own part of the model.",
        "以下为本次运行的声明：除自身数据和自身模型部分外，各方能够看到的全部信息。",
    ),
    # plots
    "roc": ("ROC", "ROC 曲线"),
    "ks_curve": ("KS", "KS 曲线"),
    "gains": ("Gains", "累计捕获率"),
    "lift": ("Lift", "提升度"),
    "scores": ("Distribution of scores", "评分分布"),
    "calibration": ("Calibration", "校准"),
    "curve": ("Training curve", "训练曲线"),
    "steps_curve": ("Training curve", "训练曲线"),
    "cost": ("Communication and time by phase", "各阶段通信量与耗时"),
    "woe": ("WOE", "WOE"),
    "woe_note": ("WOE of each bin; beside the bar its default rate.", "各分箱的 WOE，条形旁为违约率。"),
    "goods_refused": ("Share of goods refused", "好客户拒绝率"),
    "bads_refused": ("Share of bads refused", "坏客户拒绝率"),
    "refused_share": ("Share of rows refused", "拒绝占比"),
    "chance": ("By chance", "随机"),
    "threshold": ("Threshold", "阈值"),
    "share_refused": ("Share at or above", "不低于阈值的占比"),
    "bads": ("Bads", "坏客户"),
    "goods": ("Goods", "好客户"),
    "decile": ("Tenth of the rows, riskiest first", "十分位（风险由高到低）"),
    "lift_axis": ("Multiple of the average", "为平均违约率的倍数"),
    "probability": ("Probability of default", "违约概率"),
    "share_of_rows": ("Share of rows", "占比"),
    "predicted": ("Predicted", "预测违约率"),
    "observed": ("Observed", "实际违约率"),
    "perfect": ("Perfect", "完全校准"),
    "trees": ("Trees", "树的棵数"),
    "steps": ("Steps", "步数"),
    "change": ("Change of the log odds", "对数几率的改变"),
    # figures and columns of tables
    "rows": ("Rows", "行数"),
    "events": ("Defaults", "违约数"),
    "auc": ("AUC", "AUC"),
    "ks": ("KS", "KS"),
    "gini": ("Gini", "基尼系数"),
    "brier": ("Brier score", "Brier 分数"),
    "log_loss": ("Log loss", "对数损失"),
    "calibration_error": ("Calibration error", "校准误差"),
    "stability": ("Stability (PSI)", "稳定性（PSI）"),
    "precision": ("Defaults among the refused", "被拒客户违约率（精确率）"),
    "recall": ("Defaults caught", "违约识别率（召回率）"),
    "approval_rate": ("Approved", "通过率"),
    "bad_rate": ("Defaults among the approved", "通过客户违约率"),
    "approved": ("approved", "通过"),
    "turned_down": ("refused", "拒绝"),
    "captured": ("Caught so far", "累计捕获"),
    "default_rate": ("Default rate", "违约率"),
    "part": ("Part of PSI", "PSI 分项"),
    "figure": ("Figure", "指标"),
    "interval": ("95% interval", "95% 区间"),
    "value": ("Value", "数值"),
    "information": ("IV", "IV"),
    "lowest": ("Lowest", "最低值"),
    "highest": ("Highest", "最高值"),
    "points": ("Points", "分值"),
    "coefficient": ("Coefficient", "系数"),
    "base_points": ("Base points", "基础分"),
    "bin": ("Bin", "分箱"),
    "missing": ("missing", "缺失"),
    "other": ("other", "其他"),
    "all": ("all", "全部"),
    "name": ("Name", "名称"),
    "role": ("Role", "角色"),
    "product": ("Product", "数据产品"),
    "columns": ("Columns", "变量数"),
    "active": ("asks, holds the label", "发起方（持有标签）"),
    "passive": ("provides data", "数据提供方"),
    "of_party": ("all columns of {name}", "{name} 的全部变量"),
    "hub": ("The hub", "枢纽"),
    "consented": ("In the job by consent", "经授权进入"),
    "usable": ("With a label, let in by all", "有标签且各方准入"),
    "test": ("Test", "测试集"),
    "train": ("Training", "训练集"),
    "withdrawn": ("Left by withdrawal while it ran", "训练期间因撤回退出"),
    "refused": ("Consents not admitted by {name}", "{name} 未准入的授权"),
    "phase": ("Phase", "阶段"),
    "prepare": ("Preparation", "数据准备"),
    "training": ("Training", "训练"),
    "score": ("Scoring", "评分"),
    "seconds": ("Seconds", "秒"),
    "megabytes": ("Megabytes", "兆字节"),
    "messages": ("Messages", "消息数"),
    "sent": ("Sent, MB", "发送（MB）"),
    "received": ("Received, MB", "接收（MB）"),
    "total": ("Total", "合计"),
    "left_out": (
        "Columns left out (where no reason stands: one value or none)",
        "剔除的变量（未注明原因者为单一值或全空）",
    ),
    "job": ("Job", "任务"),
    "reason": ("Reason", "事由"),
    "purpose": ("Purpose", "用途"),
    "joint_modelling": ("joint modelling", "联合建模"),
    "algorithm": ("Algorithm", "算法"),
    "logistic": ("Vertical logistic regression", "纵向逻辑回归"),
    "boosting": ("Vertical gradient boosting", "纵向梯度提升"),
    "steps_logistic": ("Steps", "迭代步数"),
    "steps_boosting": ("Trees", "树的棵数"),
    "attempts": ("Attempts", "运行次数"),
    "settings": ("Settings", "参数"),
    "commitment": ("Commitment to the model", "模型承诺"),
    "versions": ("Software", "软件版本"),
}

LANGUAGES: Final = ("en", "zh")


@dataclass(frozen=True)
class Words:
    """The texts in one language. `texts`: of which page; English and Chinese by name."""

    language: str
    texts: Mapping[str, tuple[str, str]]

    def __call__(self, name: str, /, **values: str) -> str:
        """A text of the page with the values put in. A text that is not listed is a mistake of ours."""
        return self.texts[name][LANGUAGES.index(self.language)].format_map(values)

    def named(self, name: str) -> str:
        """The text for a word that came with the report, or the word itself."""
        return self(name) if name in self.texts else name

    def phase(self, name: str) -> str:
        """The name of a phase of the job."""
        return self.named("training" if name == "train" else name)

    def statement(self, paragraph: str) -> str:
        """A paragraph of the leak statement. One that has no translation stays as it is: it must not be lost."""
        return in_chinese(paragraph) if self.language == "zh" else paragraph


def words_of(language: str, texts: Mapping[str, tuple[str, str]] = _TEXTS) -> Words:
    """The texts in a language. Raises DataUnusable for one that there is not."""
    if language not in LANGUAGES:
        raise DataUnusable(f"reports are written in {' and '.join(LANGUAGES)}, not in {language!r}")
    return Words(language, texts)
