"""The monitor's figures as a page: served with its files beside it, or whole in one file. Every value is escaped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import jinja2

from modeling.report.words import LANGUAGES, Words
from nodes.service.assets import asset
from nodes.service.monitor.document import Alarm, ModelWatch, MonitorReport
from nodes.service.monitor.words import monitor_words

WINDOWS: Final = (7, 30, 90, 365)
SCRIPTS: Final = ("plotly.js", "monitor.js", "page.js")
STYLES: Final = ("style.css", "monitor.css")


@dataclass(frozen=True)
class _Plot:
    """A figure's place on the page."""

    id: str
    title: str
    note: str


def monitor_page(report: MonitorReport, language: str = "en", *, whole: bool = False) -> str:
    """HTML. `whole`: with the scripts and styles in it, about 5 MB. Raises DataUnusable for a language that there is not."""
    from nodes.service.monitor.plots import figures

    words = monitor_words(language)
    drawn = [
        (model, [(f"p{at}-{name}", name, it) for name, it in figures(model, words)])
        for at, model in enumerate(report.models)
    ]
    sections = [
        (model, [_Plot(place, words(name), _note(model, name, words)) for place, name, _ in plots])
        for model, plots in drawn
    ]
    data = ", ".join(f'"{place}": {figure.to_json()}' for _, plots in drawn for place, _, figure in plots)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nodes.service.monitor", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": "{:.4f}".format,
        "short": "{:.3f}".format,
        "count": "{:,}".format,
        "percent": "{:.1%}".format,
        "tenth": "{:,.1f}".format,
    }
    return environment.get_template("monitor.html").render(
        report=report,
        sections=sections,
        t=words,
        language={"en": "en", "zh": "zh-CN"}[language],
        code=language,
        other=next(each for each in LANGUAGES if each != language),
        made=datetime.fromtimestamp(report.made_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M UTC"),
        windows=WINDOWS,
        alarms=[(model, alarm, _told(alarm, words)) for model in report.models for alarm in model.alarms],
        # a text inside a script ends it with "</", and "<!--" changes how it is read: escaped as JSON allows
        plots="{" + data.replace("<", "\\u003c") + "}",
        scripts=[_text(name) for name in SCRIPTS] if whole else [],
        styles=[_text(name) for name in STYLES] if whole else [],
        script_names=SCRIPTS,
        style_names=STYLES,
        standing=_standing(words),
    )


def _text(name: str) -> str:
    return asset(name)[0].decode()


def _note(model: ModelWatch, name: str, words: Words) -> str:
    return words("first_scores_note" if name == "score" and model.source == "first_scores" else f"{name}_note")


def _told(alarm: Alarm, words: Words) -> str:
    if alarm.what == "calibration":
        name = "calibration_high" if alarm.value > 0 else "calibration_low"
        return words(name, value=f"{abs(alarm.value):.1f}")
    return words(alarm.what, name=alarm.name, value=f"{alarm.value:.3f}")


def _standing(words: Words) -> Callable[[ModelWatch], str]:
    """What stands below a model's name."""

    def told(model: ModelWatch) -> str:
        values: dict[str, Any] = {"share": f"{model.share:.0%}"}
        role = words(model.role, **values)
        if model.state == "retired":
            return f"{role} · {words('retired', why=model.why)}"
        if model.state not in {"", "in_service"}:
            return f"{role} · {words('not_in_service', state=model.state, why=model.why)}"
        return role

    return told
