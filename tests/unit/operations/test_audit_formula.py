"""An audit of rounds that were frozen under another formula than this version computes (R-66)."""

import pytest

from hyperfed.merge.pooling import FORMULA
from hyperfed.protocol.object_keys import Keys
from hyperfed.testing.federation import SmallFederation
from tests.unit.operations.test_audit import report


def _frozen_under(monkeypatch: pytest.MonkeyPatch, formula: int) -> None:
    """From here on, rounds are frozen under that formula."""
    monkeypatch.setattr("hyperfed.coordinator.round_objects.FORMULA", formula)


def test_a_round_of_an_earlier_formula_is_verified_and_not_called_forged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fed = SmallFederation(auditors=1)
    _frozen_under(monkeypatch, 1)
    fed.play(1)
    frozen = fed.reader().freeze(1)
    assert frozen is not None
    assert frozen.value.formula == 1
    found = report(fed)
    assert found.ok
    # its numbers are those of today's formula, and were computed again
    assert found.checked["results recomputed"] == 1
    assert found.remarks == ()
    with monkeypatch.context() as other:
        # as a formula that gives other numbers
        other.setattr("hyperfed.merge.rows.MAX_EFFECT", 0.25)
        found = report(fed)
    assert found.ok, found.findings
    assert "results recomputed" not in found.checked
    assert any(
        "frozen under formula 1" in remark and "not computed again" in remark
        for remark in found.remarks
    )


def test_other_numbers_under_todays_formula_are_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin of the test above."""
    fed = SmallFederation(auditors=1)
    fed.play(1)
    frozen = fed.reader().freeze(1)
    assert frozen is not None
    assert frozen.value.formula == FORMULA
    monkeypatch.setattr("hyperfed.merge.rows.MAX_EFFECT", 0.25)
    assert [finding.rule for finding in report(fed).findings][:1] == ["R-66"]


def test_the_formula_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coordinator cannot say "an earlier formula" about a night that it would not have
    recomputed.
    """
    fed = SmallFederation(auditors=1)
    fed.play(1)
    _frozen_under(monkeypatch, FORMULA - 1)
    fed.play(2)
    found = report(fed, opened=False)
    assert [(f.key, f.rule) for f in found.findings] == [(Keys.freeze(2), "R-66")]
    assert f"names formula {FORMULA - 1}" in found.findings[0].problem
