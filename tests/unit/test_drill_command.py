"""The drill command's own words: what can not be carried out, and what is no drill."""

from __future__ import annotations

import pytest

from cli.drill import command
from cli.drill.installation import DrillFailed
from cli.main import main


def test_what_can_not_be_carried_out_is_one_line(monkeypatch, capsys):
    def carry_out(*_, **__):
        raise ExceptionGroup("in a nursery", [DrillFailed("no libfaketime")])

    monkeypatch.setattr(command, "carry_out", carry_out)
    assert main(["drill", "clock"]) == 1
    assert capsys.readouterr().err == "error: no libfaketime\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["soak", "--variant", "early"], "error: --variant: no variant of soak: it has none\n"),
        (["shutdown", "--variant", "never"], "error: --variant: no variant of shutdown: plain, early, "),
        (["shutdown", "--seconds", "0"], "error: --seconds: must be more than 0"),
        (["kill", "--command", "transactions serve"], "error: --command: goes with shutdown only"),
        (["shutdown", "--command", "an 'open quote"], "error: --command: No closing quotation"),
        (["shutdown", "--command", ""], "error: --command: has no words"),
    ],
)
def test_what_is_no_drill_is_bad_usage(arguments, told, capsys):
    assert main(["drill", *arguments]) == 2
    assert capsys.readouterr().err.startswith(told)


def test_a_promise_that_was_not_shown_is_not_broken(monkeypatch, capsys):
    verdicts = [command.Verdict("the one", True, "seen"), command.Verdict("the other", None, "no root")]
    monkeypatch.setattr(command, "carry_out", lambda *_, **__: (verdicts, ""))
    assert main(["drill", "disk", "--seed", "1"]) == 0
    assert "NOT SHOWN the other: no root" in capsys.readouterr().out
    verdicts.append(command.Verdict("the third", False, "gone"))
    assert main(["drill", "disk", "--seed", "1"]) == 1
    assert "BROKEN the third: gone" in capsys.readouterr().out
