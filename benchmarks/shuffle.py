"""A night merged across machines, step by step on one core: what the map, a step and the merge cost
an edge, and how much goes through scratch.

    python benchmarks/shuffle.py [--clients 200] [--edges 10000] [--shards 4] \\
        [--store memory|s3]

1. The night is that of benchmarks/night.py, frozen; then the shards are cut, and the merge is
   driven: each task alone, one after the other.
2. CPU seconds of this process, so that they hold wherever a worker runs; the driver's own are told
   apart. Prefect's part is not in them.
3. The result is compared with the ordinary merge of the same freeze, byte for byte.
"""

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from night import Counted, make_federation, open_bench_store

from hyperfed.codec import PayloadCodec
from hyperfed.coordinator.remote import remote
from hyperfed.coordinator.remote.remote import answer, merging, step_of
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.store import ObjectStore
from hyperfed.testing.federation import SmallFederation


def merged(runner: RoundRunner) -> bytes:
    frozen = runner.reader.freeze(1)
    assert frozen is not None
    return PayloadCodec().encode(
        runner.merge.of(runner.plan(1).value, frozen, fresh=True).aggregate()
    )


def measured(
    fed: SmallFederation, store: ObjectStore, *, edges: int, shards: int
) -> dict[str, Any]:
    counted = Counted(store)
    rows = len(fed.clients) * edges
    runner = fed.runner(1)
    runner.freeze(1, runner.validate(runner.collect(1)))
    cpu: defaultdict[str, float] = defaultdict(float)

    def timed(name: str, work: Any) -> Any:
        began = time.process_time()
        value = work()
        cpu[name] += time.process_time() - began
        return value

    whole = timed("in one piece", lambda: merged(fed.runner(1)))
    layout = timed("layout", lambda: runner.merge.shuffle(1).layout(shards))
    for shard in range(len(layout.shards) - 1):
        timed(
            "map", lambda shard=shard: fed.runner(1, store=counted).merge.shuffle(1).spread(shard)
        )
    asked: Counter[str] = Counter()
    shuffle = fed.runner(1, store=counted).merge.shuffle(1)  # a worker keeps it, too

    def ask(address: str, lots: Sequence[int]) -> None:
        name = type(step_of(shuffle.scratch.get(f"steps/{address}/asked"))).__name__
        asked[name] += 1
        for lot in lots:
            timed(name, lambda lot=lot: answer(shuffle, address, lot))

    runner.merge.merges_elsewhere = merging(ask)
    began = time.process_time()
    there = merged(runner)
    cpu["driver"] = time.process_time() - began - sum(cpu[name] for name in asked)
    assert there == whole, "the merge across machines gives other bytes"
    remote._KEPT = remote._Kept()
    kinds: Counter[str] = Counter()
    for info in store.list(Keys.scratch(1)):
        kinds[info.key.split("/")[5]] += info.size
    return {
        "rows": rows,
        "ranges": len(layout.cuts) + 1,
        "cpu": dict(cpu),
        "asked": dict(asked),
        "scratch": dict(kinds),
        "requests": dict(counted.calls),
    }


def show(result: dict[str, Any]) -> None:
    for name, seconds in result["cpu"].items():
        times = result["asked"].get(name, 1)
        print(
            f"{name:<14} {seconds:8.2f} s CPU {seconds / result['rows'] / times * 1e6:8.3f} µs "
            "an edge" + (f", {times} times" if times > 1 else "")
        )
    for name, size in result["scratch"].items():
        print(f"{name:<14} {size / 1e6:8.1f} MB     {size / result['rows']:8.2f} bytes an edge")
    print(f"{result['rows']:,} edges in {result['ranges']} ranges, requests {result['requests']}")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--edges", type=int, default=10_000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--store", choices=("memory", "s3"), default="memory")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    with open_bench_store(given.store) as store:
        result = measured(
            make_federation(store, given.clients, given.edges),
            store,
            edges=given.edges,
            shards=given.shards,
        )
    show(result)
    if given.json:
        given.json.write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
