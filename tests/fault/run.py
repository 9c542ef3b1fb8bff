# SPDX-License-Identifier: Apache-2.0
"""Runs the tests of faults in several labs at once: file by file, or, exhaustively, test by test and node by node. An exhaustive run can be taken
up again where it ended: what has passed is kept in the folder given, by commit, and its result is written to docs/exhaustive.md.

    run.py FOLDER [PYTEST ARGUMENTS…]

The environment: WEFT_LABS, how many labs stand at once (3); WEFT_EXHAUSTIVE=1; WEFT_TIME, seconds after which nothing more is begun (none)."""
import collections
import concurrent.futures
import datetime
import os
import pathlib
import re
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
EXHAUSTIVE = os.environ.get("WEFT_EXHAUSTIVE") == "1"
LABS = int(os.environ.get("WEFT_LABS", "3"))
ENDS = time.monotonic() + float(os.environ.get("WEFT_TIME", "inf"))
NODES = ["controller", "network", "compute1"]


def pytest(*words, **more):
    return subprocess.Popen([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)


def collected(words):
    said = pytest("--collect-only", "-q", str(HERE), *words).communicate()[0]
    return [line for line in said.splitlines() if "::" in line]


def chunk_of(item):
    """What is run by one pytest, in one lab."""
    file, test = item.split("::", 1)
    if not EXHAUSTIVE:
        return file
    node = next((n for n in NODES if re.search(rf"[\[-]{n}[\]-]", test)), "")
    return f"{file}::{test.split('[')[0]} {node}"


def commit():
    def git(*words):
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return git("rev-parse", "--short", "HEAD") + ("-changed" if git("status", "--porcelain", "-uno", "--", "lib", "include", "bindings", "tests") else "")


def run(name, items, folder):
    if time.monotonic() > ENDS:
        return name, None, 0, "not begun: the time was up"
    began = time.monotonic()
    environment = {**os.environ}
    if EXHAUSTIVE:
        environment["WEFT_FAULT_PROGRESS"] = str(folder / "points")
    process = pytest("-q", "-rs", "--durations=5", *items, env=environment)
    said = process.communicate()[0]
    return name, process.returncode, time.monotonic() - began, said


def main():
    folder = pathlib.Path(sys.argv[1]) / commit()
    folder.mkdir(parents=True, exist_ok=True)
    passed_file = folder / "passed"
    passed = set(passed_file.read_text().splitlines()) if EXHAUSTIVE and passed_file.exists() else set()
    chunks = collections.defaultdict(list)
    for item in collected(sys.argv[2:]):
        chunks[chunk_of(item)].append(item)
    if not chunks:
        sys.exit("no tests were found")
    # Where the time may be too short for all, what is killed and what fails come first, and what waits for daemons last. Of these a network
    # node has most points, and begins first.
    order = ["kill", "fail", "cycles", "undo", "confirm", "journal", "limits", "syscalls", "reused", "ovsdb_proxy", "ovs_daemons"]
    def turn(chunk):
        file = re.search(r"test_(\w+)\.py", chunk)[1]
        return order.index(file) if file in order and EXHAUSTIVE else 0, not chunk.endswith(" network"), -len(chunks[chunk])
    waiting = sorted((c for c in chunks if c not in passed), key=turn)
    failed, left = [], []
    with concurrent.futures.ThreadPoolExecutor(LABS) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run, c, chunks[c], folder) for c in waiting]):
            name, status, seconds, said = done.result()
            if status == 0:
                print(f"passed {name} ({len(chunks[name])} tests, {seconds:.0f} s)", flush=True)
                print("".join(f"  {line}\n" for line in said.splitlines() if line.startswith("SKIPPED")), end="", flush=True)
                if EXHAUSTIVE:
                    passed.add(name)
                    with open(passed_file, "a") as log:
                        log.write(name + "\n")
                continue
            (left if status is None else failed).append(name)
            print(f"{'left' if status is None else 'FAILED'} {name}\n{said}", flush=True)
    if EXHAUSTIVE and len(sys.argv) == 2:
        write(folder, chunks, passed, failed, left)
    print(f"{len(chunks) - len(failed) - len(left)} of {len(chunks)} parts passed, {len(failed)} failed, {len(left)} left")
    sys.exit(1 if failed or left else 0)


def write(folder, chunks, passed, failed, left):
    points = collections.Counter(line.rsplit(" ", 1)[0] for line in (folder / "points").read_text().splitlines()) if (folder / "points").exists() else {}
    text = ["# The exhaustive run", "",
            "Written by `script/test --exhaustive`: every point of every test of `tests/fault`, in parallel labs. What it proves stands in",
            "[faults.md](faults.md). A run may end before all is done; the next one of the same commit goes on.", "",
            f"Commit `{folder.name}`, {datetime.date.today()}: {len(passed)} of {len(chunks)} parts passed, {len(failed)} failed, {len(left)} left; "
            f"{sum(points.values())} points.", "", "| part | tests | result |", "|---|---|---|"]
    for name in sorted(chunks):
        result = "passed" if name in passed else "failed" if name in failed else "left"
        text.append(f"| {name.replace('tests/fault/', '')} | {len(chunks[name])} | {result} |")
    text += ["", "| points of | number |", "|---|---|", *(f"| {label} | {number} |" for label, number in sorted(points.items()))]
    (ROOT / "docs" / "exhaustive.md").write_text("\n".join(text) + "\n")


main()
