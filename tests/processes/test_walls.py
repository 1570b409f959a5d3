"""Both halves of a party keep to their side, as the interpreter and the kernel see them."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from twoparties import LEARNER, ROOT, SUPPORT, TwoParties, toy_data

from parties.setup import make_party
from parties.template import config_text

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # seconds; the first test's include the fixture that all share
]

WATCHER = """
import os, sys

def _start():
    folder = os.environ["WATCH_FOLDER"]
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    descriptor = os.open(f"{folder}/{os.getpid()}.audit", flags, 0o600)
    os.write(descriptor, (" ".join(sys.orig_argv) + "\\n").encode())

    def hook(event, arguments):
        if event == "open" or event == "import" or event.startswith("socket."):
            said = [str(each)[:300] for each in arguments[:2]]
            if event == "socket.__new__":
                said = [str(int(arguments[1]))]
            line = "\\t".join([event, *said]).replace("\\n", " ") + "\\n"
            os.write(descriptor, line.encode("utf-8", "replace"))

    sys.addaudithook(hook)

_start()
"""
INTERNET = {str(int(socket.AF_INET)), str(int(socket.AF_INET6))}


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A session with every file, module and socket event of all four processes on record."""
    root = tmp_path_factory.mktemp("watched")
    (root / "sitecustomize.py").write_text(WATCHER)
    path = ":".join(map(str, (root, ROOT, SUPPORT)))
    parties = TwoParties(
        root / "parties",
        terms={"rounds": 1},
        task={"factory": "toytasks:held_arrays"},
        environment={"PYTHONPATH": path, "WATCH_FOLDER": str(root)},
    )
    seen = {"connections": [], "maps": []}
    try:
        hold = parties.hold(LEARNER, 20)  # or all might end before it was looked at
        provider, learner = parties.provide(), parties.start(LEARNER)
        learner.wait_for("sampled")
        for process in (provider, learner):
            seen["maps"].append(Path(f"/proc/{process.popen.pid}/maps").read_text())
            for worker in process.workers():
                seen["connections"].append(worker.net_connections("inet"))
        hold.unlink()
        assert learner.wait() == 0
        provider.stop()
        yield parties, root, seen
    finally:
        parties.close()


def records(root, *, worker):
    """Events of the gates, or of the workers, as lists of words."""
    found = []
    for path in root.glob("*.audit"):
        command, *lines = path.read_text().splitlines()
        if "-m parties" in command and ("parties.worker" in command) is worker:
            found.append([line.split("\t") for line in lines])
    assert len(found) == 2
    return found


def test_the_process_with_the_data_never_makes_a_network_socket(watched):
    _, root, seen = watched

    for events in records(root, worker=True):
        assert not [each for each in events if each[0] in {"socket.connect", "socket.bind"}]
        families = {each[1] for each in events if each[0] == "socket.__new__"}
        assert not families & INTERNET
    assert seen["connections"] == [[], []]  # as the kernel sees it


def test_the_process_with_the_keys_never_opens_data_nor_loads_torch_or_the_task(watched):
    _, root, seen = watched

    for events in records(root, worker=False):
        modules = {each[1] for each in events if each[0] == "import"}
        assert not {name for name in modules if name.partition(".")[0] in {"torch", "toytasks"}}
        opened = [each[1] for each in events if each[0] == "open"]
        assert not [path for path in opened if path.endswith(".npz") or "toytasks" in path]
    assert len(seen["maps"]) == 2
    assert not any("libtorch" in each for each in seen["maps"])


def test_the_watcher_sees_what_the_other_half_does(watched):
    _, root, _ = watched

    for events in records(root, worker=True):
        assert any(each[0] == "open" and each[1].endswith(".npz") for each in events)
        assert any(each[0] == "open" and "toytasks" in each[1] for each in events)
        assert not any(each[0] == "open" and "identity.key" in each[1] for each in events)


def test_a_task_that_uses_the_network_ends_with_11_and_is_told_why(tmp_path):
    parties = TwoParties(tmp_path, task={"factory": "toytasks:make"})
    parties.write(LEARNER, probe="connect_out")
    try:
        learner = parties.start(LEARNER)

        assert learner.wait() == 11
        assert "WallError: the process that reads data may not" in learner.error["error"]
    finally:
        parties.close()


def in_a_process(code, folder):
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PYTHONPATH": f"{ROOT}:{SUPPORT}"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


ATTEMPT = """
import json
from parties.walls import WallError
ended = {}
def attempt(name, call):
    try:
        call()
        ended[name] = "allowed"
    except WallError as error:
        ended[name] = str(error)
    except Exception as error:
        ended[name] = f"other: {error!r}"
"""


def test_every_way_out_of_the_worker_is_walled_up(tmp_path):
    code = f"""{ATTEMPT}
import socket, urllib.request, toytasks
from parties.walls import forbid_network
forbid_network()
for name in ("connect_out", "look_up_host", "look_up_name", "send_datagram", "open_port"):
    attempt(name, getattr(toytasks, name))
attempt("urllib", lambda: urllib.request.urlopen("http://127.0.0.1:9/", timeout=1))
attempt("connect_ex", lambda: socket.socket().connect_ex(("127.0.0.1", 9)))
attempt("ipv6", lambda: socket.socket(socket.AF_INET6).connect(("::1", 9)))
attempt("pair", lambda: socket.socketpair()[0].close())
print(json.dumps(ended))
"""

    ended = in_a_process(code, tmp_path)

    assert ended.pop("pair") == "allowed"  # torch's data loaders need it, and it goes nowhere
    assert all("process that reads data may not" in each for each in ended.values()), ended
    assert len(ended) == 8


def test_every_way_to_the_data_is_walled_up_for_the_gate(tmp_path):
    data = toy_data(tmp_path / "secret.npz", count=10)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "image.png").write_bytes(b"x")
    (tmp_path / "link.npz").symlink_to(data)
    (tmp_path / "other.txt").write_text("free")
    code = f"""{ATTEMPT}
import importlib, os, shutil, numpy
from pathlib import Path
from parties.walls import forbid_data
forbid_data([Path("secret.npz"), Path("folder")], ["toytasks"])
attempt("open", lambda: open("secret.npz", "rb"))
attempt("os.open", lambda: os.open("./folder/../secret.npz", os.O_RDONLY))
attempt("bytes", lambda: open(b"secret.npz", "rb"))
attempt("read", lambda: Path("secret.npz").read_bytes())
attempt("numpy", lambda: numpy.load("secret.npz"))
attempt("copy", lambda: shutil.copy("folder/image.png", "copy"))
attempt("link", lambda: open("link.npz", "rb"))
attempt("task", lambda: __import__("toytasks"))
attempt("import_module", lambda: importlib.import_module("toytasks"))
attempt("torch", lambda: __import__("torch.nn"))
attempt("import_module torch", lambda: importlib.import_module("torch._C"))
attempt("free", lambda: Path("other.txt").read_text())
print(json.dumps(ended))
"""

    ended = in_a_process(code, tmp_path)

    assert ended.pop("free") == "allowed"
    assert all("process that has the keys may not" in each for each in ended.values()), ended
    assert len(ended) == 11


def test_data_that_the_settings_name_in_lists_and_tables_are_walled_up_too(tmp_path):
    names = ("plain.npz", "listed.npz", "tabled.npz", "deep.npz", "free.npz")
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    config = config_text(LEARNER).replace(
        'train = "train.csv" ',
        'train = "plain.npz"\nmore = ["listed.npz", 3, ["deep.npz"]]\nlong = "' + "x" * 5000 + '"\n'
        'by_name = { first = "tabled.npz", none = "" } ',
    )
    make_party(tmp_path / "clinic", role=LEARNER, name="clinic", config=config)
    code = f"""{ATTEMPT}
from pathlib import Path
from parties.directory import PartyDirectory
from parties.gate.walls import keep_out_of_data
keep_out_of_data(PartyDirectory(Path("clinic")))
for name in {names}:
    attempt(name, lambda: open(name, "rb").close())
print(json.dumps(ended))
"""

    ended = in_a_process(code, tmp_path)

    assert ended.pop("free.npz") == "allowed"
    assert all("process that has the keys may not open" in each for each in ended.values()), ended
    assert len(ended) == 4


def test_a_setting_that_happens_to_name_our_own_folder_locks_nobody_out(tmp_path):
    parties = TwoParties(tmp_path, task={"factory": "toytasks:make"})
    parties.write(LEARNER, kind="clinic", probe="clinic", train=tmp_path)
    try:
        learner = parties.start(LEARNER)

        assert learner.wait() == 11  # the task knows no such probe: it got as far as that
        assert "AttributeError" in learner.error["error"]
    finally:
        parties.close()
