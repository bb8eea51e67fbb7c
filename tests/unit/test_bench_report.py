"""The benchmarks' report and charts say what the figures say."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bench.bars import BARS, Bar
from bench.charts import CHARTS, draw, write
from bench.figures import Figure, Figures
from bench.overload import AFTERWARDS_S, Probe, recovery_s
from bench.report import report


def measured(**values: float) -> Figures:
    figures = Figures()
    figures.add({Figure[name]: value for name, value in values.items()})
    return figures


def row_of(page: str, what: str) -> list[str]:
    (row,) = [line for line in page.splitlines() if line.startswith("|") and f"| {what} |" in line]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_a_figure_is_the_median_of_its_rounds():
    figures = Figures()
    for rate in (90.0, 400.0, 100.0):
        figures.add({Figure.HTTP: rate})
    assert figures[Figure.HTTP] == 100


def test_a_bar_is_a_ratio_to_the_larger_of_what_it_is_held_against():
    bar = Bar(5, "uniform", Figure.UNIFORM, (Figure.PEER_UNIFORM_8, Figure.PEER_UNIFORM_64), at_least=4)
    assert bar.value(measured(UNIFORM=1_000, PEER_UNIFORM_8=200, PEER_UNIFORM_64=250)) == 4
    assert bar.value(measured(UNIFORM=1_000, PEER_UNIFORM_8=200)) is None


@pytest.mark.parametrize(("rate", "verdict"), [(999, "**not met**"), (1_000, "met"), (1_001, "met")])
def test_the_report_says_whether_a_bar_is_met(rate, verdict):
    page = report(measured(HTTP=rate, PEER_HOT_64=250), "make bench", "a machine", 60, [])
    assert row_of(page, "one transfer per HTTP request, × peer-64") == [
        "1",
        "one transfer per HTTP request, × peer-64",
        f"{rate / 250:.3g}",
        "≥ 4",
        verdict,
    ]


def test_a_bar_from_above_is_missed_by_more_than_it():
    what = "CPU time per request, × bare Quart-Trio echo"
    page = report(measured(HTTP_CPU=136, ECHO_HTTP_CPU=100), "make bench", "a machine", 60, [])
    assert row_of(page, what)[2:] == ["1.36", "≤ 1.35", "**not met**"]


def test_what_was_left_out_has_its_reason_once_and_no_verdict():
    figures = measured(PEER_HOT_64=250)
    figures.leave_out("refused", Figure.HTTP_2, Figure.HTTP_2_CPU)
    page = report(figures, "make bench", "a machine", 60, [])
    assert row_of(page, "the same with WORKERS=2, × peer-64")[2:] == ["", "≥ 7", "left out"]
    assert page.count(": refused") == 1
    assert Figure.HTTP_2.label in page


def test_the_report_has_the_command_the_machine_and_every_figure():
    figures = measured(**{figure.name: number + 1.0 for number, figure in enumerate(Figure)})
    page = report(figures, "make bench", "a machine", 600, list(CHARTS))
    assert "`make bench`, 10 minutes. a machine" in page
    assert all(f"| {figure.label} |" in page for figure in Figure)
    assert all(f"(benchmarks/{name}.svg)" in page for name in CHARTS)
    assert page.count("met |") + page.count("met** |") == len(BARS)


def test_every_bar_has_one_bound_and_every_row_a_bar():
    assert {bar.row for bar in BARS} == set(range(1, 11))
    assert all((bar.at_least is None) != (bar.at_most is None) for bar in BARS)


def test_a_chart_has_each_line_at_the_places_that_it_has_values_for():
    lines = {"peer": [(1.0, 5.0), (64.0, 2.0)], "HTTP": [(1.0, 3.0), (64.0, 4.0), (256.0, 6.0)]}
    root = ElementTree.fromstring(draw(CHARTS["rate"], lines))  # noqa: S314 - our own
    texts = [element.text for element in root.iter() if element.text]
    assert {"peer", "HTTP", "1", "64", "256", CHARTS["rate"].title} <= set(texts)
    dots = list(root.iter("{http://www.w3.org/2000/svg}circle"))
    assert len(dots) == 5
    assert not [element for element in root.iter() if any("href" in name for name in element.attrib)]


def test_charts_are_written_under_their_names(tmp_path):
    lines = {"gRPC": [(1.0, 1.0), (64.0, 9.0)]}
    names = write({"batches": lines}, tmp_path / "charts")
    assert names == ["batches"]
    assert (tmp_path / "charts" / "batches.svg").read_text() == draw(CHARTS["batches"], lines)


def probes(*answers: tuple[float, float, bool]) -> list[Probe]:
    return [Probe(*answer) for answer in answers]


def test_recovery_is_from_the_end_until_answers_are_quick_again():
    slow = [(9.0 + number / 10, 3.0, True) for number in range(10)]
    failed = [(10.2, 0.01, False)]
    quick = [(10.5 + number / 10, 0.01, True) for number in range(6)]
    assert recovery_s(probes(*slow, *failed, *quick), 10.0, 0.01) == pytest.approx(0.5)


def test_who_was_never_slow_recovers_at_once_and_who_stays_slow_never():
    assert recovery_s(probes(*((9.0 + n / 10, 0.01, True) for n in range(30))), 10.0, 0.01) == 0
    assert recovery_s(probes(*((9.0 + n / 10, 0.03, True) for n in range(30))), 10.0, 0.01) == AFTERWARDS_S
