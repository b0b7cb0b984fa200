"""The texts of the monitoring page, in both languages."""

from __future__ import annotations

from typing import Final

from modeling.report.words import Words, words_of

_TEXTS: Final[dict[str, tuple[str, str]]] = {
    "monitor": ("Models in service", "在用模型监控"),
    "window": ("The last {days} days, up to {made}", "最近 {days} 天，截至 {made}"),
    "days_short": ("{days} days", "{days} 天"),
    "other_language": ("中文", "English"),
    # roles and states
    "champion": ("champion", "冠军模型"),
    "challenger": ("challenger, {share} of the enterprises, in the shadow", "挑战者模型，影子评分，占企业的 {share}"),
    "named": ("answers who names it", "按名称调用"),
    "retired": ("Retired: {why}", "已停用：{why}"),
    "not_in_service": ("Not in service: {state} {why}", "未启用：{state} {why}"),
    # levels
    "none": ("nothing to compare with", "无可比数据"),
    "few": ("too few to say", "样本过少"),
    "stable": ("stable", "稳定"),
    "watch": ("watch", "关注"),
    "alarm": ("alarm", "警报"),
    # alarms
    "alarms": ("What to look at", "需要关注"),
    "no_alarm": ("Nothing: no figure is beyond its threshold.", "无：所有指标均未越过阈值。"),
    "score_drift": (
        "The scores are distributed otherwise than where the model was made: PSI {value}.",
        "评分分布与建模时不同：PSI {value}。",
    ),
    "column_drift": (
        "The own column {name} is distributed otherwise than where the model was made: PSI {value}.",
        "本方变量 {name} 的分布与建模时不同：PSI {value}。",
    ),
    "calibration_high": (
        "More defaults than predicted: {value} standard deviations above.",
        "实际违约多于预测：高出 {value} 个标准差。",
    ),
    "calibration_low": (
        "Fewer defaults than predicted: {value} standard deviations below.",
        "实际违约少于预测：低 {value} 个标准差。",
    ),
    # headline figures
    "scored": ("enterprises scored", "已评分企业"),
    "refused": ("refused", "被拒绝"),
    "psi": ("stability index of the score", "评分稳定性指数"),
    "auc": ("AUC, realised", "AUC（实际）"),
    "ks": ("KS, realised", "KS（实际）"),
    "outcomes": ("outcomes known", "已知结果"),
    "median": ("median latency", "时延中位数"),
    "latency_rest": ("95%: {p95} ms, 99%: {p99} ms", "95%：{p95} 毫秒，99%：{p99} 毫秒"),
    "defaults_of": ("{events} defaults, {expected} predicted", "违约 {events} 户，预测 {expected} 户"),
    "milliseconds": ("{value} ms", "{value} 毫秒"),
    # plots
    "volume": ("Enterprises by day", "每日企业数"),
    "volume_note": ("Scored and refused.", "已评分与被拒绝。"),
    "mean": ("Mean predicted probability by day", "每日平均预测违约概率"),
    "mean_note": (
        "A jump is a change of the applicants, of the data, or of the model.",
        "突变意味着客群、数据或模型发生变化。",
    ),
    "score": ("Scores: where the model was made, and now", "评分分布：建模时与当前"),
    "score_note": (
        "Shares by band of probability. PSI below 0.1 is stable, above 0.25 another population.",
        "按违约概率分段的占比。PSI 低于 0.1 为稳定，高于 0.25 表示客群已明显变化。",
    ),
    "first_scores_note": (
        "Held against the first 1,000 scores in service, for it is not known how the training scores were distributed.",
        "由于未提供训练评分分布，以上线后最初 1,000 个评分为基准。",
    ),
    "realised": ("Predicted and realised", "预测与实际"),
    "realised_note": (
        "By band, with the interval in which the default rate lies 95 times in 100.",
        "按分段显示，竖线为违约率的 95% 区间。",
    ),
    "columns": ("Own columns", "本方变量"),
    "columns_note": (
        "Stability index of each; the dotted lines are the thresholds of watch and alarm.",
        "各变量的稳定性指数，虚线为关注与警报阈值。",
    ),
    "reasons": ("Why enterprises were refused", "拒绝原因"),
    "reasons_note": ("No consent, a provider's limit, or the like.", "无授权、触及提供方限额等。"),
    # axes
    "enterprises": ("enterprises", "企业数"),
    "probability": ("default probability", "违约概率"),
    "up_to": ("default probability up to", "违约概率（不高于）"),
    "share": ("share", "占比"),
    "expected": ("where it was made", "建模时"),
    "actual": ("now", "当前"),
    "predicted": ("predicted", "预测"),
    "observed": ("realised", "实际"),
    "band": ("band", "分段"),
    "psi_axis": ("stability index", "稳定性指数"),
    # tables
    "details": ("Figures", "明细"),
    "name": ("Name", "名称"),
    "rows": ("Rows", "样本数"),
    "noise": ("By chance", "随机波动"),
    "level": ("State", "状态"),
    "value": ("PSI", "PSI"),
    "events": ("Defaults", "违约数"),
    "interval": ("95% interval", "95% 区间"),
    "reason": ("Reason", "原因"),
    "count": ("Number", "数量"),
    "bin": ("Bin", "分箱"),
    "missing": ("missing", "缺失"),
    "other": ("other", "其他"),
    "compared": ("Challenger beside champion", "挑战者与冠军模型对比"),
    "compared_note": (
        "On the {rows} enterprises that both scored, {labelled} of them with a known outcome.",
        "基于双方均已评分的 {rows} 户企业，其中 {labelled} 户已知结果。",
    ),
    "correlation": ("rank correlation", "秩相关系数"),
    "same_band": ("in the same band", "分段一致"),
    "difference": ("mean difference of the probability", "违约概率平均差"),
    "nothing": (
        "No model has scored in this window.",
        "该时段内没有模型评分。",
    ),
}


def monitor_words(language: str) -> Words:
    """The texts in a language. Raises DataUnusable for one that there is not."""
    return words_of(language, _TEXTS)
