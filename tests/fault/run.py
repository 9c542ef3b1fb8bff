# SPDX-License-Identifier: Apache-2.0
"""Runs the tests of faults in several labs at once: file by file, or, exhaustively, test by test and node by node. An exhaustive run can be taken
up again where it ended, on another machine too: the result of each part is written to docs/exhaustive.md as soon as it is there, with the commit and
a hash of all that was tested, and holds as long as that hash is the same. Within a part the points that have passed are kept in the folder given.

    run.py FOLDER [PYTEST ARGUMENTS…]

The environment: WEFT_LABS, how many labs stand at once (4); WEFT_EXHAUSTIVE=1; WEFT_TIME, seconds after which nothing more is begun (none)."""
import collections
import concurrent.futures
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
EXHAUSTIVE = os.environ.get("WEFT_EXHAUSTIVE") == "1"
LABS = int(os.environ.get("WEFT_LABS", "4"))
ENDS = time.monotonic() + float(os.environ.get("WEFT_TIME", "inf"))
NODES = ["controller", "network", "compute1"]
LONG = "test_(every_prefix|nothing_grows|killed$|hung|the_server_comes_back).*"  # each case of them is a part


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
    if file.endswith("test_confirm.py"):  # many small ones, of which each waits more than it works
        return f"{file}:: {node}".rstrip()
    name = test.split("[")[0]
    kind = re.search(rf"\[{node}-(.*)\]", test) if re.fullmatch(LONG, name) else None
    return " ".join(filter(None, [f"{file}::{name}", kind and kind[1], node]))


def git(*words):
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


TESTED = ["lib", "include", "bindings", "examples/fabrics", "tests/program/labs.py"]
SHARED = [f"tests/fault/{name}.py" for name in ["conftest", "faults", "proxy", "openflow_proxy", "seen", "cycles"]]


def tree_of(chunk):
    """The content of all that a part tests and is made of."""
    return hashlib.sha256(git("ls-files", "-s", *TESTED, *SHARED, chunk.split("::")[0]).encode()).hexdigest()[:12]


def run(name, items, folder):
    if time.monotonic() > ENDS:
        return name, None, 0, "not begun: the time was up"
    began = time.monotonic()
    environment = {**os.environ}
    if EXHAUSTIVE:
        environment["WEFT_FAULT_PROGRESS"] = str(points_of(name, folder))
    process = pytest("-q", "-rs", "--durations=5", *items, env=environment)
    said = process.communicate()[0]
    # A part of which nothing ran has not passed.
    ran = re.search(r"\d+ passed", said.rstrip().rsplit("\n", 1)[-1])
    return name, process.returncode if ran or not EXHAUSTIVE else process.returncode or 1, time.monotonic() - began, said


def points_of(name, folder):
    return folder / f"{re.sub('[^a-z0-9_]+', '-', name.removeprefix('tests/fault/'))}.{tree_of(name)}"


RESULTS = ROOT / "docs" / "exhaustive.md"
HEAD = """# The exhaustive run

Written by `script/test --exhaustive`: every point of every test of `tests/fault`, in parallel labs. What it proves stands in
[faults.md](faults.md). A run may end before all is done; the next one goes on, on any machine. A part that passed counts as long as all that it
tests and is made of (`tree`) is what it was at its commit.
"""


def earlier_results():
    """Lines of parts that passed, by part, whatever has changed since."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| test_")]
    return {f"tests/fault/{r[0]}": r for r in rows if len(r) == 6 and r[2] == "passed"}


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    chunks = collections.defaultdict(list)
    for item in collected(sys.argv[2:]):
        chunks[chunk_of(item)].append(item)
    if not chunks:
        sys.exit("no tests were found")
    kept = EXHAUSTIVE and len(sys.argv) == 2
    if kept and git("status", "--porcelain", "-uno", "--", *TESTED, "tests/fault"):
        sys.exit("what is to be tested is not committed: a result would be of no commit")
    results = {n: r for n, r in earlier_results().items() if n in chunks and r[5] == tree_of(n)} if kept else {}
    # The cycles take longest of all and cannot be taken up within. Where the time may be too short for all, what is killed and what fails
    # come next, and what waits for daemons last. Of these a network node has most points, and begins first. Of a sample too what takes
    # longest begins first.
    longest = ["confirm", "kill", "fail", "undo", "ovs_daemons", "syscalls"]
    order = ["cycles", "kill", "fail", "undo", "confirm", "journal", "limits", "syscalls", "reused", "ovsdb_proxy", "ovs_daemons"]
    def turn(chunk):
        file = re.search(r"test_(\w+)\.py", chunk)[1]
        known = order if EXHAUSTIVE else longest
        return known.index(file) if file in known else len(known) * (not EXHAUSTIVE), " network" not in chunk, -len(chunks[chunk])
    waiting = sorted((c for c in chunks if c not in results), key=turn)
    failed, left = [], []
    with concurrent.futures.ThreadPoolExecutor(LABS) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run, c, chunks[c], folder) for c in waiting]):
            name, status, seconds, said = done.result()
            if status == 0:
                print(f"passed {name} ({len(chunks[name])} tests, {seconds:.0f} s)", flush=True)
                print("".join(f"  {line}\n" for line in said.splitlines() if line.startswith("SKIPPED")), end="", flush=True)
            else:
                (left if status is None else failed).append(name)
                print(f"{'left' if status is None else 'FAILED'} {name}\n{said}", flush=True)
            if kept and status is not None:
                points = points_of(name, folder)
                count = len(set(points.read_text().splitlines())) if points.exists() else 0
                results[name] = [name.replace("tests/fault/", ""), len(chunks[name]), "failed" if status else "passed", count or "", git("rev-parse", "--short", "HEAD"), tree_of(name)]
                write(chunks, results)
    print(f"{len(chunks) - len(failed) - len(left)} of {len(chunks)} parts passed, {len(failed)} failed, {len(left)} left")
    sys.exit(1 if failed or left else 0)


def write(chunks, results):
    count = collections.Counter(str(results[n][2]) if n in results else "left" for n in chunks)
    points = sum(int(r[3] or 0) for r in results.values())
    text = [HEAD, f"{count['passed']} of {len(chunks)} parts passed, {count['failed']} failed, {count['left']} left; {points} points.", "",
            "| part | tests | result | points | commit | tree |", "|---|---|---|---|---|---|"]
    for name in sorted(chunks):
        row = results.get(name, [name.replace("tests/fault/", ""), len(chunks[name]), "left", "", "", ""])
        text.append("| " + " | ".join(str(cell) for cell in row) + " |")
    new = RESULTS.with_suffix(".new")
    new.write_text("\n".join(text) + "\n")
    new.replace(RESULTS)


main()
