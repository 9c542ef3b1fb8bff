# SPDX-License-Identifier: Apache-2.0
"""A rule that is taken away cuts the connections that lived by it, both ways, and touches no other; put back, they go on."""
import queue
import subprocess
import threading

from conftest import FABRICS, PROGRAM, Lab, eventually, weft

# Lines of standard input into a TCP connection, and its lines to standard output.
RELAY = """
import socket, sys, threading
if len(sys.argv) == 1:
    server = socket.create_server(("0.0.0.0", 22)); print("listening", flush=True); link = server.accept()[0]
else:
    link = socket.create_connection((sys.argv[1], 22), 5); link.settimeout(None)
print("open", flush=True)
def hear():
    for line in link.makefile():
        print(line.strip(), flush=True)
threading.Thread(target=hear, daemon=True).start()
for line in sys.stdin:
    link.sendall(line.encode())
"""


class Relay:
    def __init__(self, lab, vm, *target, script=RELAY):
        self.process = subprocess.Popen([PROGRAM, "lab", "exec", f"{lab.name}/{vm}", "--", "python3", "-c", script, *target],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=lambda: [self.lines.put(line.strip()) for line in self.process.stdout], daemon=True).start()

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hears(self, line, seconds=15):
        try:
            return self.lines.get(timeout=seconds) == line
        except queue.Empty:
            return False

    def stop(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()


def test_a_removed_rule_cuts_its_connections_and_no_others(tmp_path):
    file = tmp_path / "fabric.yaml"
    text = (FABRICS / "grizzly.yaml").read_text()
    file.write_text(text)
    weft("allocate", file)
    lab, relays = Lab(file), []
    try:
        relays.append(Relay(lab, "proj_one/vm2"))
        server = relays[-1]
        assert server.hears("listening")
        relays.append(Relay(lab, "proj_one/vm1", lab.address("proj_one/vm2")))
        client = relays[-1]
        assert client.hears("open") and server.hears("open")
        client.say("one")
        assert server.hears("one")
        server.say("two")
        assert client.hears("two")

        without = text.replace("{ protocol: icmp }, { protocol: tcp, ports: 22 }", "{ protocol: icmp }", 1)
        assert without != text
        file.write_text(without)
        for node in ("compute1", "compute2"):
            lab.on(node, "apply")
        # At once, and not only when the side that began speaks again.
        server.say("four")
        assert not client.hears("four", 1.5)
        client.say("three")
        assert not server.hears("three", 1.5)
        # What another rule allows goes on, and so does the other tenant's port 22.
        lab.run("proj_one/vm1", "ping", "-c1", "-W3", lab.address("proj_one/vm2"))
        relays.append(Relay(lab, "proj_two/vm2"))
        assert relays[-1].hears("listening")
        relays.append(Relay(lab, "proj_two/vm1", lab.address("proj_two/vm2")))
        assert relays[-1].hears("open")

        file.write_text(text)
        for node in ("compute1", "compute2"):
            lab.on(node, "apply")
        # TCP sends again what was lost.
        assert server.hears("three", 30)
        assert client.hears("four", 30)
        for node in ("compute1", "compute2"):
            eventually(lambda: lab.on(node, "plan", expect=None).returncode == 0)
    finally:
        for relay in relays:
            relay.stop()
        lab.down()


# Waits to be asked once, then every line of standard input goes to who asked; or asks once and prints what comes.
STREAM = """
import socket, sys
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
if len(sys.argv) == 2:
    link.bind(("0.0.0.0", int(sys.argv[1]))); print("listening", flush=True)
    asker = link.recvfrom(100)[1]; print("asked", flush=True)
    for line in sys.stdin:
        link.sendto(line.encode(), asker)
else:
    link.sendto(b"?", (sys.argv[2], int(sys.argv[1])))
    while True:
        print(link.recv(100).decode().strip(), flush=True)
"""


def test_the_answers_of_a_denied_connection_stop_at_once_without_a_word_of_the_side_that_began(tmp_path):
    file = tmp_path / "fabric.yaml"
    plain = (FABRICS / "grizzly.yaml").read_text()
    kept, gone = "{ protocol: udp, ports: 6000-6003, remote: default }", ", { protocol: udp, ports: 5000-5003, remote: default }"
    text = plain.replace("{ protocol: tcp, ports: 22 }", kept + gone, 1)
    assert text != plain
    file.write_text(text)
    weft("allocate", file)
    lab, ends = Lab(file), []

    def stream(port):
        ends.append(Relay(lab, "proj_one/vm2", str(port), script=STREAM))
        server = ends[-1]
        assert server.hears("listening")
        ends.append(Relay(lab, "proj_one/vm1", str(port), lab.address("proj_one/vm2"), script=STREAM))
        assert server.hears("asked")
        server.say("one")
        assert ends[-1].hears("one")
        return server, ends[-1]

    try:
        still, cut, other = stream(6001), stream(5002), stream(6002)
        file.write_text(text.replace(gone, ""))
        for node in ("compute1", "compute2"):
            lab.on(node, "apply")
        for server, _ in (still, cut, other):
            server.say("two")
        assert still[1].hears("two") and other[1].hears("two")
        assert not cut[1].hears("two", 1.5)
        # Nothing that asked was delivered.
        for _, client in (still, other):
            assert client.lines.empty()
    finally:
        for end in ends:
            end.stop()
        lab.down()
