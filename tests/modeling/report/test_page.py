"""The page: in both languages, self-contained, and with every name from outside as a text and nothing else."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modeling.errors import DataUnusable
from modeling.jobs.leaks import statement
from modeling.jobs.plan import SelectionRules
from modeling.report.charts import LABEL_LENGTH, plain
from modeling.report.leak_words import in_chinese
from modeling.report.page import page
from modeling.report.plots import evidence_figures, figures
from modeling.report.words import LANGUAGES, words_of
from tests.modeling.report.sample import hostile, sample

HOSTILE = """<a href="https://x.example/">x</a>'</script><script>alert(1)</script><!--{{ 7 * 7 }}%{y}&lt;"""
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Seen(HTMLParser):
    """What a browser takes the page for. `text`: outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in {"script", "style"}:
            self._open.append(tag)
            self.scripts += [""] if tag == "script" else []

    def handle_endtag(self, tag: str) -> None:
        if tag in {"script", "style"}:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if not self._open:
            self.text += data
        elif self._open[-1] == "script":
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def hostile_page() -> str:
    return page(hostile(HOSTILE))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("algorithm", ["boosting", "logistic"])
def test_a_page_tells_what_the_report_holds(algorithm: Any, language: str) -> None:
    report, words = sample(algorithm), words_of(language)
    seen = Seen(page(report, language))
    for told in (
        report.name,
        f"{report.test.auc.value:.4f}",
        f"{report.test.ks.low:.4f} – {report.test.ks.high:.4f}",
        report.commitment,
        "CONSENT_EXPIRED",
        words("how_good"),
        words(algorithm),
        *(words.statement(each) for leak in report.leaks for each in leak.learns),
        *(each for leak in report.leaks for each in leak.learns),
        *(party.name for party in report.parties),
        *(table.bins[2].label for table in report.tables),
        *(line.name for line in (report.scorecard.lines if report.scorecard else ())),
        *report.versions.values(),
    ):
        assert told in seen.text
    assert (words("scorecard") in seen.text) == (algorithm == "logistic")
    assert (words("score_bands") in seen.text) == (algorithm == "boosting")
    assert dict(seen.tags)["html"]["lang"] == {"en": "en", "zh": "zh-CN"}[language]


def test_a_page_needs_nothing_from_elsewhere() -> None:
    text = page(sample())
    seen = Seen(text)
    assert text.startswith("<!doctype html>")
    assert not {tag for tag, _ in seen.tags} & {"link", "img", "iframe", "object", "base", "form"}
    assert not [attrs for _, attrs in seen.tags if {"src", "href", "onload", "onclick"} & set(attrs)]
    policy = next(attrs["content"] for _, attrs in seen.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert len(seen.scripts) == 2, "plotly once, and the page's own"
    assert "@import" not in text[: text.index("</style>")]


def test_a_name_from_outside_is_a_text_and_nothing_else(hostile_page: str) -> None:
    seen, harmless = Seen(hostile_page), Seen(page(sample()))
    assert seen.text.count(HOSTILE) > 30, "shown as it is"
    assert {tag for tag, _ in seen.tags} == {tag for tag, _ in harmless.tags}
    assert len(seen.scripts) == 2
    (plots,) = (line for line in seen.scripts[1].splitlines() if line.startswith("const plots = "))
    assert "&lt;a href" in plots
    assert "<" not in plots, "it could end the script"


def test_labels_of_plots_hold_no_tag_that_plotly_would_read() -> None:
    report, words = hostile(HOSTILE), words_of("en")
    for _, figure in figures(report, words)[-1:] + evidence_figures(report, words):
        labels = figure.layout.yaxis.ticktext
        assert labels
        assert all("<" not in label and html.unescape(label) == HOSTILE[: LABEL_LENGTH - 1] + "…" for label in labels)
        assert all("<" not in name for name in figure.data[0].customdata)
    assert plain("a<b>&") == "a&lt;b&gt;&amp;"


def test_two_columns_with_the_same_start_are_two_bars() -> None:
    report = sample()
    bins = tuple(msgspec.structs.replace(each, label="x" * 40 + each.label) for each in report.tables[0].bins)
    long = msgspec.structs.replace(report, tables=(msgspec.structs.replace(report.tables[0], bins=bins),))
    ((_, figure),) = evidence_figures(long, words_of("en"))
    assert len(set(figure.data[0].y)) == len(bins)


def test_plots_show_the_figures_of_the_report() -> None:
    report, words = sample(), words_of("en")
    shown = dict(figures(report, words))
    assert list(shown) == ["roc", "ks_curve", "gains", "lift", "calibration", "scores", "curve", "cost"]
    assert tuple(shown["lift"].data[0].y) == tuple(band.lift for band in report.test.bands)
    gap = shown["ks_curve"].data[2]
    assert abs(gap.y[0] - gap.y[1]) == pytest.approx(report.test.ks.value)
    assert tuple(shown["curve"].data[0].y) == report.curve
    assert sum(shown["scores"].data[0].y) == pytest.approx(1)
    assert tuple(shown["cost"].data[1].x) == tuple(phase.seconds for phase in report.phases)
    logistic = sample("logistic")
    shown = dict(figures(logistic, words))
    assert "curve" not in shown and tuple(shown["steps_curve"].data[0].y) == logistic.curve


def test_a_language_that_there_is_not_is_refused() -> None:
    with pytest.raises(DataUnusable, match="written in en and zh"):
        page(sample(), "fr")


@pytest.mark.parametrize("algorithm", ["boosting", "logistic"])
@pytest.mark.parametrize("providers", [("tax",), ("tax", "customs")])
def test_every_paragraph_of_the_statement_has_a_chinese_text(algorithm: Any, providers: tuple[str, ...]) -> None:
    for leak in statement(algorithm, "bank", providers, rows_scored=1234567, selection=SelectionRules()):
        for paragraph in leak.learns:
            chinese = in_chinese(paragraph)
            assert chinese != paragraph, "modeling/report/leak_words.py lacks this paragraph"
            assert re.findall(r"\d[\d,]*", chinese) == re.findall(r"\d[\d,]*", paragraph)


def test_a_paragraph_without_translation_is_not_lost() -> None:
    assert words_of("zh").statement("Learns 12 {secrets}.") == "Learns 12 {secrets}."
    assert words_of("zh").named("missing") == "缺失"
    assert words_of("zh").named("alignment") == "alignment"


def test_every_text_has_both_languages_and_the_same_places() -> None:
    from modeling.report.words import _TEXTS

    for name, (english, chinese) in _TEXTS.items():
        assert english, name
        assert chinese, name
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", chinese)), name


def test_a_node_that_makes_no_report_does_not_load_plotly() -> None:
    program = "import sys, modeling.report.build, modeling.report.page; sys.exit('plotly' in sys.modules)"
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=root, timeout=60).returncode == 0


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here to open the page in")
def test_in_a_browser_every_plot_is_drawn_and_no_name_is_a_link(hostile_page: str, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(hostile_page, encoding="utf-8")
    found = subprocess.run(
        [
            str(BROWSER),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=10000",
            "--dump-dom",
            (tmp_path / "report.html").as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    ).stdout.decode()
    shown = re.sub(r"<script>.*?</script>", "", found, flags=re.DOTALL)
    plots = re.findall(r'<div id="(\w+)" class="js-plotly-plot"', shown)
    report = sample()
    assert len(plots) == 8 + len(report.tables)
    assert not re.findall(r"<a[\s>]", shown), "plotly makes a link of a label that is not escaped"
