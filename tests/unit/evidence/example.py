"""A table with everything in it, for the tests of its formats."""

from hyperfed.evidence import EdgeEvidence, EvidenceRow, JointEffect

MADE = {"engine": "hyperfed", "version": "0.1.0"}


def full_table() -> EdgeEvidence:
    """Lags, every kind of mark, numbers that are known and not, a suppressed edge, odd names."""
    known = {
        "strength": 0.75,
        "direction": 1.0,
        "effect": -0.125,
        "ci_low": -0.25,
        "ci_high": 1e-9,
        "q": 1e-6,
        "i2": 0.5,
        "vote": -0.5,
        "support": 3,
        "measured": 4,
        "positive": 1,
        "negative": 3,
        "samples": 12345678901,
    }
    rows = (
        EvidenceRow(source="heat", target="load", lag=1, **known, **MADE),
        EvidenceRow(source="heat", target="load", lag=2, effect=0.5, **MADE),
        EvidenceRow(source="heat", target="heat", lag=1, effect=0.9, **MADE),
        EvidenceRow(source="load", target="wear", effect=1.0, **MADE),
        EvidenceRow(source="wear", target="=1+1", lag=3, status="suppressed", **MADE),
        EvidenceRow(source="heat", target="wear", endpoints="o->"),
        EvidenceRow(source='a "b" & <c>', target="雨", endpoints="---", effect=-2.0),
        EvidenceRow(source="heat", target="雨", endpoints="<->"),
        EvidenceRow(source="load", target="雨", endpoints="o-o", direction=0.5),
    )
    joint = (
        JointEffect(
            sources=("heat", "load"),
            target="wear",
            lag=1,
            effect=0.25,
            vote=0.5,
            support=2,
            measured=4,
        ),
    )
    names = ("heat", "load", "wear", "=1+1", 'a "b" & <c>', "雨", "alone")
    return EdgeEvidence(variables=names, rows=rows, joint=joint)


def plain_table() -> EdgeEvidence:
    """A table that every format holds: directed edges without a cycle, plain names."""
    rows = (
        EvidenceRow(source="heat", target="load", lag=1, effect=0.5, q=0.01, strength=0.9),
        EvidenceRow(source="heat", target="heat", lag=1, effect=0.9, q=0.02, strength=1.0),
        EvidenceRow(source="load", target="wear", effect=-1.5, q=0.5, strength=0.5),
        EvidenceRow(source="heat", target="wear", effect=0.25, q=1.0, strength=0.25),
    )
    return EdgeEvidence(variables=("heat", "load", "wear", "alone"), rows=rows)
