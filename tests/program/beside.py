# SPDX-License-Identifier: Apache-2.0
"""What goes on beside a test and is looked at after it: pings at 200 Hz, and `weft watch`."""
import json
import os
import re
import signal
import subprocess
import threading
import time

from labs import PROGRAM, eventually


class Pinger:
    """`ping` at 200 Hz, at most for two minutes, and every number that came back."""

    def __init__(self, lab, member, to):
        self.who = f"{member} -> {to}"
        self.process = subprocess.Popen([PROGRAM, "lab", "exec", f"{lab.name}/{member}", "--", "ping", "-n", "-i", "0.005", "-c", "24000", to],
                                        stdout=subprocess.PIPE, text=True)
        self.came, self.sent, self.twice = {}, None, 0
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            if found := re.search(r"icmp_seq=(\d+) ", line):
                self.twice += int(found.group(1)) in self.came
                self.came[int(found.group(1))] = time.monotonic()
            elif found := re.search(r"(\d+) packets transmitted", line):
                self.sent = int(found.group(1))

    def begun(self):
        """Waits until answers come."""
        eventually(lambda: len(self.came) >= 40, 20)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        self.reader.join(20)

    @staticmethod
    def assert_all_whole(pingers, history):
        """Ends them all."""
        for pinger in pingers:
            pinger.stop()
        for pinger in pingers:
            assert pinger.sent > 200, (pinger.who, pinger.sent)
            pinger.assert_whole(history)

    def assert_whole(self, history):
        """`history`: when which apply began."""
        assert self.sent is not None, self.who
        # The last 50 ms were on their way when it was told to end.
        missing = set(range(1, self.sent - 10)) - set(self.came)
        told = []
        for number in sorted(missing)[:5]:
            after = max((at for n, at in self.came.items() if n < number), default=0)
            told.append(f"{number}, {[f'{what} {after - at:+.3f}' for at, what in history if at <= after + 0.2][-4:]}")
        assert not missing, f"{self.who}: {len(missing)} of {self.sent} lost: {told}"
        assert self.twice == 0, f"{self.who}: {self.twice} came twice"


class Watch:
    """The program in the foreground on a node, as systemd would run it, with its lines as they come."""

    def __init__(self, lab, *words, node="network", environment=None, program=PROGRAM):
        self.process = subprocess.Popen([PROGRAM, "lab", "exec", f"{lab.name}/{node}", "--", program, "watch", lab.file, "--node", node, "--json", *words],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **(environment or {})})
        self.said = []
        self.reader = threading.Thread(target=lambda: [self.said.append(json.loads(line)) for line in self.process.stdout], daemon=True)
        self.reader.start()
        self.hear("watching")

    def find(self, state, kind=None, name="", since=0):
        return [s for s in self.said[since:] if s["state"] == state and kind in (None, s.get("kind")) and name in s.get("name", "")]

    def hear(self, state, kind=None, name="", since=0, seconds=10):
        """The first line of this state about this object, after the first `since` lines."""
        eventually(lambda: self.find(state, kind, name, since) or self.process.poll() is not None, seconds)
        assert self.find(state, kind, name, since), f"no {state} {kind} {name}; it said {self.said[since:]}"
        return self.find(state, kind, name, since)[0]

    def processor_seconds(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(10)
        self.reader.join(10)
        self.process.stdout.close()
        return status
