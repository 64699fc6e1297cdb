"""A worker that plays a scene instead of examining a target: `actor.py SCENE box dump outbox`.

Everything but `examine` is the real worker; torch is a stub, so that a scene starts at once.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import types
from itertools import repeat

from traindoctor.probing.events import (
    ExperimentEnded,
    ExperimentStarted,
    LoadFailed,
    ProbeEnded,
    ProbeStarted,
    Progress,
    RunEnded,
    TargetLoaded,
)

KEY = "run(n=1)"


def segfault(send):
    ctypes.string_at(0)  # the sick line: segfault


def leave(send):
    os._exit(3)  # the sick line: leave


def shoot(send):
    os.kill(os.getpid(), signal.SIGKILL)  # the sick line: shoot


def quit_politely(send):
    sys.exit(0)  # the sick line: quit_politely


def exhaust(send):
    raise MemoryError  # the sick line: exhaust


def loop(send):
    any(map(bool, iter(int, 1)))  # for ever, and never lets go of the lock; the sick line: loop


def stall(send):
    # It says that it lives, over and over, and gets nothing done.
    any(map(send, repeat(Progress(done=1, total=9))))  # the sick line: stall


def hang_in_c(send):
    lock = ctypes.CDLL(None)
    while True:
        lock.sleep(100)  # the sick line: hang_in_c


def crawl(send):
    for done in range(8):  # slower in all than the timeout, but it gets on
        time.sleep(0.2)
        send(Progress(done=done, total=8))


def flood(send):
    for number in range(40_000):
        print("rubbish \0\x1b[31m", number)
    sys.stdout.buffer.write(bytes(range(256)) * 1000)


def question(send):
    try:
        input("name? ")
    except EOFError:
        print("nobody answered")


def bug(send):
    raise RuntimeError("ours")


def spawn_child(send):
    if os.fork() == 0:
        time.sleep(60)
    os._exit(4)


def linger(send):
    import threading

    threading.Thread(target=time.sleep, args=(60,)).start()


SCENES = {name: scene for name, scene in globals().items() if isinstance(scene, types.FunctionType)}


def examine(job, send):
    """Load; then every probe called `<scene>` runs an experiment, which plays that scene."""
    if job.reference == "missing":
        send(LoadFailed(message="there is no such file", details="  frames"))
        return
    if job.reference in SCENES:
        SCENES[job.reference](send)
    send(TargetLoaded(reference="t", model_class="M", num_parameters=1, num_trainable=1))
    for name in job.probes:
        send(ProbeStarted(name=name))
        scene = name.removeprefix("bare-")
        reason = job.unavailable.get(KEY, "")
        if scene in SCENES and not reason:
            if scene == name:
                send(ExperimentStarted(key=KEY, name="run"))
            SCENES[scene](send)
            if scene == name:
                send(
                    ExperimentEnded(
                        key=KEY, name="run", settings={}, status="done", seconds=0, steps=1
                    )
                )
        status = "skipped" if reason else "passed"
        send(ProbeEnded(name=name, status=status, reason=reason, seconds=0, rules=()))
    send(RunEnded())


if __name__ == "__main__":
    from traindoctor.worker import main as worker

    sys.modules["torch"] = types.ModuleType("torch")
    worker.examine = examine
    worker.main()
