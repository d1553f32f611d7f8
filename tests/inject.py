"""Let file-system calls of bglab's commands fail, one at a time, and run each command again: ``make faults``.

Every call of a command on its inputs, caches and results is listed once; then a run is started for each call and
fault, and after it the same command without a fault, which must end with the bytes of a run that was never disturbed.
A fault that ends otherwise is written to a folder, with how to repeat it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]

from fixtures.fault_shim import build, is_loaded, start, why_not  # noqa: E402

if is_loaded() or __name__ != "__main__":  # importing torch takes long, and what only starts another process needs none
    import cv2
    import numpy as np
    import torch

    from fixtures.at_once import run_at_once
    from fixtures.fault_commands import all_commands, serve, write_inputs
    from fixtures.faults import FAULTS, Call, Command, Injector, Outcome, Point, points, sample, single_threaded

_WORDS = ("identical", "identical but for scratch", "refused", "killed", "noted", "rejected by name", "not reached")


def main() -> int:
    """Inject the faults; 1 if one of them ends wrongly."""
    if reason := why_not():
        _say(reason)
        return 0
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        return _inject(_options(), Path(folder)) if is_loaded() else start(sys.argv, build(Path(folder))).returncode


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--commands", default="", help="only these commands, separated by commas")
    parser.add_argument("--faults", default=",".join(FAULTS), help="only these faults (default: %(default)s)")
    parser.add_argument("--count", type=int, default=0, help="number of faults of each command; 0: all")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this time")
    parser.add_argument("--seed", type=int, default=0, help="which faults, if not all")
    parser.add_argument("--point", default="", help="only this fault, as its file in the folder of failures names it")
    parser.add_argument("--failures", type=Path, default=Path("fault-failures"), help="folder of what ended wrongly")
    parser.add_argument("--json", type=Path, help="write all outcomes to this file")
    parser.add_argument("--together", type=int, default=0, help="also run each command twice at once, so many times")
    parser.add_argument("--calls", action="store_true", help="list the calls of the commands, and inject nothing")
    return parser.parse_args()


def _inject(options: argparse.Namespace, folder: Path) -> int:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    (folder / "root").mkdir()
    (folder / "logs").mkdir()
    injector = Injector(folder / "root", folder / "logs")
    child = _apart(lambda: write_inputs(injector.inputs))
    server, address = serve(injector.inputs)
    try:
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
            raise RuntimeError("the inputs cannot be written")
        outcomes = list(_outcomes(options, injector, address))
    finally:
        os.kill(server, signal.SIGTERM)
        os.waitpid(server, 0)
    _print(outcomes)
    if options.json:
        options.json.write_text(json.dumps([[str(o.point), o.word, o.wrong] for o in outcomes], indent=1))
    return _write_failures(outcomes, options.failures)


def _apart(work) -> int:
    """Do something in a process of its own, since it may start threads."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def _outcomes(options: argparse.Namespace, injector: Injector, address: str) -> Iterator[Outcome]:
    """Inject faults into all commands in turn, so that a limited time serves all."""
    commands = all_commands(address)
    point = Point.parse(options.point) if options.point else None
    names = [point.command] if point else [n.strip() for n in options.commands.split(",") if n.strip()] or commands
    rng = np.random.default_rng(options.seed)
    injector.import_beforehand(commands[name] for name in names)
    if not single_threaded():
        raise RuntimeError("expected a process of one thread, which can be forked; a library started others")
    queues: dict[str, list[Point]] = {}
    for name in names:
        injector.learn(commands[name])
        queues[name] = points(name, injector.called[name], options.faults.split(","))
        _say(f"{name}: {len(injector.called[name])} calls, {len(queues[name])} faults")
        if options.calls:
            _say("\n".join(f"  {call}" for call in injector.called[name]))
        queues[name] = [point] if point else sample(queues[name], options.count or len(queues[name]), rng)
        yield from _together(injector, commands[name], options.together, rng)
    until = time.monotonic() + 60 * options.minutes
    for one in (one for turn in zip_longest(*queues.values()) for one in turn if one and not options.calls):
        if time.monotonic() > until:
            return
        outcome = injector.test(commands[one.command], one)
        if outcome.wrong or point:
            _say(f"{outcome.word}: {one}: {outcome.wrong or 'as it should'}" + f"\n{outcome.text}" * bool(point))
        yield outcome


def _together(injector: Injector, command: Command, rounds: int, rng: np.random.Generator) -> Iterator[Outcome]:
    """Run a command in two processes at once, and in two whose ids are the same."""
    for word, same_id in (("two at once", False), ("two of one id", True)):
        for number in range(rounds):
            wrong = run_at_once(injector, command, rng, same_id=same_id)
            if wrong:
                _say(f"{word}: {command.name}: {wrong}")
            yield Outcome(Point(command.name, Call("none", "", number), word), "identical", wrong)


def _print(outcomes: list[Outcome]) -> None:
    """Print how often each command met each fault, and what became of it."""
    counts = Counter((o.point.command, o.point.fault, "WRONG" if o.wrong else o.word) for o in outcomes)
    words = [*_WORDS, "WRONG"]
    _say(f"\n{'command':18}{'fault':14}{'all':>6}" + "".join(f"{word[:13]:>14}" for word in words))
    for command, fault in dict.fromkeys((o.point.command, o.point.fault) for o in outcomes):
        found = [counts[command, fault, word] for word in words]
        _say(f"{command:18}{fault:14}{sum(found):>6}" + "".join(f"{number or '':>14}" for number in found))
    sums = [sum(n for (_, _, w), n in counts.items() if w == word) for word in words]
    _say(f"{'all':32}{sum(sums):>6}" + "".join(f"{number:>14}" for number in sums))


def _write_failures(outcomes: list[Outcome], folder: Path) -> int:
    failed = [outcome for outcome in outcomes if outcome.wrong]
    if failed:
        folder.mkdir(parents=True, exist_ok=True)
    for number, outcome in enumerate(failed):
        text = f"{outcome.wrong}\n\npython tests/inject.py --point '{outcome.point}'\n\n{outcome.text}"
        (folder / f"{number:03d}.txt").write_text(text, errors="backslashreplace")
    if failed:
        _say(f"{len(failed)} of {len(outcomes)} faults end wrongly; see {folder}")
    return 1 if failed else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
