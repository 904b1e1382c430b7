"""Runs a command and its peers in turn, and prints the medians and the ratio."""
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DISKSMITH = os.environ.get("DISKSMITH", str(ROOT / "target/release/disksmith"))
CASES = {}


def case(function):
    CASES[function.__name__.replace("_", "-")] = function
    return function


class Figures:
    """Wall seconds, CPU seconds and peak KiB of one finished process."""

    def __init__(self, wall, cpu, peak):
        self.wall, self.cpu, self.peak = wall, cpu, peak


def run(command, cwd):
    if isinstance(command, str):
        command = ["sh", "-c", command]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    message = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"benches: {command}: status {process.returncode}: {message.decode(errors='replace')}")
    return Figures(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)


def reset(step, cwd):
    if step:
        subprocess.run(["sh", "-c", step], cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def compare(name, ours, peers, cwd, runs, before=""):
    """Runs ours and each peer in turn; prints the ratio against the fastest peer."""
    everyone = [ours] + list(peers)
    taken = [[] for _ in everyone]
    order = random.Random(name)
    for turn in range(runs + 1):
        # In a new order each turn: who runs behind one that left no pages in memory (-t none) pays for fresh ones.
        for index in order.sample(range(len(everyone)), len(everyone)):
            command = everyone[index]
            reset(before, cwd)
            figures = run(command, cwd)
            if turn:  # the first turn warms up
                taken[index].append(figures)

    def median(index, what):
        return statistics.median(getattr(f, what) for f in taken[index])

    line = f"{name:<34} disksmith {median(0, 'wall')*1000:9.1f} ms  cpu {median(0, 'cpu')*1000:9.1f} ms  {int(median(0, 'peak')) // 1024:4d} MiB"
    if peers:
        best = min(range(1, len(everyone)), key=lambda i: median(i, "wall"))
        ratios = [p.wall / o.wall for o, p in zip(taken[0], taken[best])]
        command = everyone[best]
        text = command if isinstance(command, str) else " ".join(command)
        line += (
            f" | peer {median(best, 'wall')*1000:9.1f} ms  cpu {median(best, 'cpu')*1000:9.1f} ms"
            f"  {int(median(best, 'peak')) // 1024:4d} MiB | ratio {statistics.median(ratios):6.2f}"
            f"  ({min(ratios):.2f} to {max(ratios):.2f})  best peer: {text[:70]}"
        )
    print(line, flush=True)


def prepared(options, name, *steps):
    """Makes a file once, by qemu-img and its like."""
    if not (options.dir / name).exists():
        for step in steps:
            subprocess.run(step, shell=True, cwd=options.dir, check=True, stdout=subprocess.DEVNULL)


@case
def empty_process(options):
    """What any process costs here; subtract it from the small figures."""
    folder = options.dir
    (folder / "empty.rs").write_text("fn main() {}\n")
    subprocess.run(["rustc", "-O", "-o", "empty", "empty.rs"], cwd=folder, check=True)
    compare("empty process", ["./empty"], [], folder, options.runs)
