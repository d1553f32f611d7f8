"""Read many changed files of every kind, and print what became of them: ``make fuzz MINUTES=5``.

Each kind of file has its own numbers, so that a number and a seed name one changed file. What is read wrongly is
written to a folder, with what went wrong beside it. If the process itself dies, ``current.bin`` there is the cause.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import math
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]

from fixtures.mutations import Outcomes, run  # noqa: E402
from fixtures.subjects import all_subjects, chosen_subjects  # noqa: E402

#: Files of a kind before those of the next, for a share of 1.
_STEP = 40
OUTCOMES = ("equal", "refused", "named", "semantic", "wrong")


def main() -> int:
    """Run until the files or the minutes are used up; 1 if a file was read wrongly."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=0, help="number of files, over all kinds; 0: as many as fit")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default="", help="only kinds that begin with one of these, separated by commas")
    parser.add_argument("--start", type=int, default=0, help="number of the first file of each kind")
    parser.add_argument("--failures", type=Path, default=Path("fuzz-failures"), help="folder of what was read wrongly")
    parser.add_argument("--counts", type=Path, help="JSON file to write the counts to")
    options = parser.parse_args()
    options.failures.mkdir(parents=True, exist_ok=True)
    faulthandler.enable()
    makers = chosen_subjects(options.kinds)
    until = time.monotonic() + 60 * options.minutes
    total: dict[str, Outcomes] = {name: Outcomes() for name in makers}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BGLAB_DATA"] = str(Path(folder) / "data")  # caches
        subjects = all_subjects(makers, Path(folder))
        others = [subject.originals[0] for subject in subjects.values()]
        rounds = _rounds(sum(subject.share for subject in subjects.values()), options.count)
        for begin, end in rounds:
            if time.monotonic() > until:
                break
            for name, subject in subjects.items():
                numbers = range(*(options.start + math.ceil(subject.share * turn) for turn in (begin, end)))
                found = run(subject, numbers, options.seed, others, until, options.failures / "current.bin")
                total[name].counts += found.counts
                total[name].failures += found.failures
                total[name].slowest_s = max(total[name].slowest_s, found.slowest_s)
                total[name].taken_s += found.taken_s
    (options.failures / "current.bin").unlink(missing_ok=True)
    _print(total, options.seed)
    if options.counts:
        options.counts.write_text(json.dumps({name: found.by_outcome() for name, found in total.items()}))
    return _write_failures(total, options.failures, options.seed)


def _rounds(shares: float, count: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of turns, in each of which a kind has as many files as its share."""
    most = math.ceil(count / shares) if count else sys.maxsize
    for begin in range(0, most, _STEP):
        yield begin, min(begin + _STEP, most)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _print(total: dict[str, Outcomes], seed: int) -> None:
    _say(
        f"seed {seed}\n{'kind':28}{'files':>8}"
        + "".join(f"{name:>10}" for name in OUTCOMES)
        + f"{'all':>10}{'slowest':>10}"
    )
    sums: Counter[str] = Counter()
    for name, found in total.items():
        counts = found.by_outcome()
        sums += counts
        _say(_row(name, counts) + f"{found.taken_s:>8.1f} s{found.slowest_s:>8.2f} s")
    _say(_row("all", sums))


def _row(name: str, counts: Counter[str]) -> str:
    return f"{name:28}{counts.total():>8}" + "".join(f"{counts[outcome]:>10}" for outcome in OUTCOMES)


def _write_failures(total: dict[str, Outcomes], folder: Path, seed: int) -> int:
    failed = [(name, failure) for name, found in total.items() for failure in found.failures]
    for name, failure in failed:
        file = folder / f"{name.replace(' ', '-')}-seed-{seed}-{failure.number}"
        file.with_suffix(".bin").write_bytes(failure.data)
        file.with_suffix(".txt").write_text(f"{failure.kind}\n{failure.reason}\n", errors="backslashreplace")
    if failed:
        _say(f"{len(failed)} files were read wrongly; they are in {folder}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
