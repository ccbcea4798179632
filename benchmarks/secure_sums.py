"""Measure secure sums beside Flower's SecAgg+, and write the tables of docs/secure-sums.md.

    benchmarks/.venv/bin/python benchmarks/secure_sums.py           # some minutes of one core
    benchmarks/.venv/bin/python benchmarks/secure_sums.py --page    # only the tables

1. What is compared is CPU time: of one client from its numbers to its message, of one helper from
   the boxes to its opening, of whoever opens the sum; for SecAgg+ of one client in its four visits,
   and of the server (`secagg_plus`). Wall clock on a shared machine says nothing.
2. Both are measured within one run, one size after the other, and ratios are of that run. A step of
   secure sums counts by its best turn of a few, a client of SecAgg+ by the median of all clients.
3. Every sum is compared with the numbers that went in: it is exact, or the run ends.
4. A client's share of noise is drawn beside its masks: what it costs does not depend on helpers.
5. SecAgg+ is run with 2 log2(n) + 1 shares of each key, which is cheap, and with 20 clients also
   with a share for every other client, which is strongest; more than half of the shares open a key.
   Nobody drops out, and once a tenth does, which costs secure sums nothing.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import nacl.bindings
import numpy as np

from hyperfed.privacy.discrete_gaussian import MAX_SIGMA
from hyperfed.secure_aggregation import (
    Cohort,
    HelperGroup,
    Manifest,
    MaskContext,
    MaskedMessage,
    add_masks,
    check_seeds,
    mask_message,
    open_box,
    open_sum,
    to_fixed_point,
)
from hyperfed.secure_aggregation.boxes import SealedSeeds, seal_seeds
from hyperfed.secure_aggregation.masking import draw_seeds
from hyperfed.secure_aggregation.noise import add_noise_share

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ROOT / "benchmarks" / "results" / "secure_sums.json"
PAGE = ROOT / "docs" / "secure-sums.md"
MARK, END = "<!-- {}: made by benchmarks/secure_sums.py -->", "<!-- end -->"
SIZES = [(20, 11_000), (100, 11_000), (20, 200_000), (100, 200_000)]
COMPARED = [(4, 1), (5, 2)]
GROUPS = [(4, 1), (5, 1), (5, 2), (6, 1), (6, 2), (6, 3), (7, 1), (7, 2), (7, 3), (7, 4)]
ROUND, TURNS = 12, 7
ALL_UP_TO = 20  # clients; with 100 the shares of one round take minutes of a core


def best(work: Callable[[], Any], turns: int = TURNS) -> float:
    """CPU seconds of the best turn."""
    taken = []
    for _ in range(turns):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


class Night:
    """One night of secure sums: who takes part, and every step that is measured."""

    def __init__(self, helpers: int, colluding: int, clients: int, length: int) -> None:
        names = tuple(f"helper-{i}" for i in range(1, helpers + 1))
        self.group = HelperGroup(helpers=names, colluding_helpers=colluding)
        self.clients = tuple(f"client-{i:03d}" for i in range(clients))
        rng = np.random.default_rng(clients + length)
        self.values = {name: rng.normal(0, 1, length) for name in self.clients}
        keys = {name: nacl.bindings.crypto_box_keypair() for name in names}
        self.public = {name: key[0] for name, key in keys.items()}
        self.secret = {name: key[1] for name, key in keys.items()}
        messages = {name: name.encode().ljust(32, b".") for name in self.clients}
        cohort = Cohort(payload="statistics", length=length, messages=messages)
        self.manifest = Manifest(round=ROUND, freeze_digest=bytes(32), cohorts=(cohort,))

    def context(self, client: str) -> MaskContext:
        return MaskContext(
            federation="benchmark",
            registry_version=1,
            round=ROUND,
            plan_digest=bytes(32),
            client=client,
            payload="statistics",
        )

    def client(self, name: str) -> MaskedMessage:
        words = to_fixed_point(self.values[name], cohort=1000)
        return mask_message(words, self.group, self.public, self.context(name))

    def sealed(self, name: str) -> SealedSeeds:
        """A client's boxes without its numbers: all that a helper reads."""
        return seal_seeds(draw_seeds(self.group), self.group, self.public, self.context(name))

    def helper(self, name: str, sealed: Mapping[str, SealedSeeds]) -> Any:
        seeds, contexts = {}, {}
        for client, boxes in sealed.items():
            contexts[client] = self.context(client)
            seeds[client] = open_box(boxes.boxes[name], name, self.group, self.secret[name])
            assert not check_seeds(seeds[client], boxes.commitments, contexts[client])
        return add_masks(self.manifest, "statistics", name, self.group, seeds, contexts)


def upload(message: MaskedMessage) -> int:
    """Bytes of a client's numbers, boxes, commitments and the boxes' digests."""
    sealed = message.sealed
    boxes = sum(len(box) + 32 for box in sealed.boxes.values())
    return message.values.nbytes + boxes + 32 * len(sealed.commitments)


def secure_sum(helpers: int, colluding: int, clients: int, length: int) -> dict[str, Any]:
    """One whole night: what everyone spends, and that the sum is exact."""
    night = Night(helpers, colluding, clients, length)
    client_s = best(lambda: night.client(night.clients[0]))
    messages = {name: night.client(name) for name in night.clients}
    sealed = {name: message.sealed for name, message in messages.items()}
    answering = night.group.helpers[: night.group.quorum]
    helper_s = best(lambda: night.helper(answering[0], sealed), 2)
    openings = [night.helper(name, sealed) for name in answering]
    masked = {name: message.values for name, message in messages.items()}

    def opened() -> Any:
        return open_sum(
            night.manifest, "statistics", night.group, masked, openings, deadline_past=True
        )

    total = np.zeros(length, dtype=np.uint64)
    for values in night.values.values():
        total += to_fixed_point(values, cohort=1000)
    assert np.array_equal(opened().total, total), "the sum is not exact"
    return {
        "client_s": client_s,
        "helper_s": helper_s,
        "open_s": best(opened),
        "client_upload": upload(messages[night.clients[0]]),
        "helper_upload": sum(words.nbytes for words in openings[0].sums.values()),
        "seeds": night.group.seeds,
        "quorum": night.group.quorum,
    }


def curve(length: int = 200_000, clients: int = 100) -> list[dict[str, Any]]:
    """What a client and a helper spend for each size of group, beside how many seeds there are."""
    rows = []
    for helpers, colluding in GROUPS:
        night = Night(helpers, colluding, clients, length)
        sealed = {name: night.sealed(name) for name in night.clients}
        name = night.group.helpers[0]
        rows.append(
            {
                "helpers": helpers,
                "colluding": colluding,
                "seeds": night.group.seeds,
                "quorum": night.group.quorum,
                "client_s": best(partial(night.client, night.clients[0])),
                "helper_s": best(partial(night.helper, name, sealed), 1),
            }
        )
        print(rows[-1], flush=True)
    return rows


def beside() -> list[dict[str, Any]]:
    """Secure sums and SecAgg+ in turn, for each number of clients and of numbers."""
    from secagg_plus import secagg_plus

    rows = []
    for clients, length in SIZES:
        row: dict[str, Any] = {"clients": clients, "length": length}
        row["share_s"] = best(partial(add_noise_share, np.zeros(length, np.uint64), MAX_SIGMA))
        for helpers, colluding in COMPARED:
            row[f"{helpers} helpers"] = secure_sum(helpers, colluding, clients, length)
        rng = np.random.default_rng(7)
        values = [rng.normal(0, 1, length) for _ in range(clients)]
        few = 2 * math.floor(math.log2(clients)) + 1
        runs = [("few", few, 0), ("few, a tenth drops out", few, clients // 10)]
        for name, shares, dropping in runs + [("all", clients, 0)] * (clients <= ALL_UP_TO):
            spent = secagg_plus(values, shares=shares, threshold=shares // 2 + 1, dropping=dropping)
            row[name] = {"shares": shares, **vars(spent)}
        rows.append(row)
        print(json.dumps(row, indent=1), flush=True)
    return rows


def client_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What a client spends."""
    lines = [
        "| clients x numbers | 4 helpers | 5 helpers | a share of noise | SecAgg+, few shares | "
        "all shares | few shares to 4 helpers |",
        "|---" * 7 + "|",
    ]
    for row in rows:
        cells = [
            _size(row),
            *(_ms(row[name]["client_s"]) for name in ("4 helpers", "5 helpers")),
            _ms(row["share_s"]),
            _ms(row["few"]["client_s"]),
            _ms(row["all"]["client_s"]) if "all" in row else "not run",
            f"{row['few']['client_s'] / row['4 helpers']['client_s']:.1f} times",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def sent_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What a client and a helper send, as multiples of 8 bytes a number."""
    lines = [
        "| clients x numbers | to 4 helpers | to 5 helpers | SecAgg+, few shares | "
        "a helper of 4 | a helper of 5 |",
        "|---" * 6 + "|",
    ]
    for row in rows:
        sent = 8 * row["length"]
        clients = [row[name]["client_upload"] for name in ("4 helpers", "5 helpers", "few")]
        helpers = [row[name]["helper_upload"] for name in ("4 helpers", "5 helpers")]
        cells = [_size(row), *(f"{one / sent:.3f}" for one in clients)]
        cells += [f"{one / sent:.0f}" for one in helpers]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def others_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What helpers, whoever opens, and the server of SecAgg+ spend."""
    lines = [
        "| clients x numbers | a helper of 4 | of 5 | opening, 5 helpers | SecAgg+ server, "
        "few shares | a tenth drops out | all shares |",
        "|---" * 7 + "|",
    ]
    for row in rows:
        four, five = row["4 helpers"], row["5 helpers"]
        dropped = row["few, a tenth drops out"]["server_s"]
        seconds = (four["helper_s"], five["helper_s"], five["open_s"], row["few"]["server_s"])
        cells = [
            _size(row),
            *map(_s, (*seconds, dropped)),
            _s(row["all"]["server_s"]) if "all" in row else "not run",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _size(row: Mapping[str, Any]) -> str:
    return f"{row['clients']} x {row['length']:,}"


def curve_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What each size of group costs, in the order of its seeds."""
    lines = [
        "| helpers | may collude | seeds | quorum | CPU of a client | of a helper |",
        "|---" * 6 + "|",
    ]
    for row in sorted(rows, key=lambda row: (row["seeds"], row["helpers"], row["colluding"])):
        whole = [str(row[name]) for name in ("helpers", "colluding", "seeds", "quorum")]
        lines.append(f"| {' | '.join([*whole, _ms(row['client_s']), _s(row['helper_s'])])} |")
    return "\n".join(lines)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2g} ms" if seconds < 0.1 else f"{seconds * 1e3:.0f} ms"


def _s(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds >= 0.01 else f"{seconds * 1e3:.1g} ms"


def with_tables(page: str, numbers: Mapping[str, Any]) -> str:
    """Return the page with each table between its marks."""
    tables = {
        "clients": client_table(numbers["beside"]["rows"]),
        "sent": sent_table(numbers["beside"]["rows"]),
        "others": others_table(numbers["beside"]["rows"]),
        "groups": curve_table(numbers["curve"]["rows"]),
    }
    for name, table in tables.items():
        mark = MARK.format(name)
        before, _, rest = page.partition(mark)
        page = f"{before}{mark}\n\n{table}\n\n{END}{rest.partition(END)[2]}"
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--page", action="store_true", help="measure nothing")
    parser.add_argument("--only", choices=("beside", "curve"), action="append")
    given = parser.parse_args()
    kept = json.loads(NUMBERS.read_text()) if NUMBERS.exists() else {}
    for part, measure in (("beside", beside), ("curve", curve)):
        if given.page or part not in (given.only or (part,)):
            continue
        load = round(os.getloadavg()[0], 1)
        when = datetime.now(UTC).isoformat(timespec="seconds")
        kept[part] = {"when": when, "load": load, "rows": _rounded(measure())}
        NUMBERS.write_text(json.dumps(kept, indent=1) + "\n")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_tables(page, kept), encoding="utf-8")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.3g}")
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
