"""Training programs that end badly or treat their process badly, as a script and as a factory."""

from __future__ import annotations

HEAD = """
import atexit, gc, os, shutil, signal, sys, threading, time
import torch
from torch import nn
torch.manual_seed(0)
HERE = os.path.dirname(os.path.abspath(__file__))
x = torch.randn(64, 4)
data = torch.utils.data.TensorDataset(x, (x.sum(1) > 0).long())
class Net(nn.Module):
    calls = 0
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
    def forward(self, x):
        Net.calls += 1
        if Net.calls == 5:
            deed()
        return self.layer(x)
def parts():
    net = Net()
    loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True, num_workers=WORKERS)
    return net, loader, torch.optim.AdamW(net.parameters(), lr=1e-2), nn.CrossEntropyLoss()
WORKERS = 0
def deed():
"""
SETUP = """
def setup():
    return parts()
"""
TRAIN = """
if __name__ == "__main__":
    net, loader, optimizer, loss_fn = parts()
    for epoch in range(4):
        for x, y in loader:
            optimizer.zero_grad()
            loss_fn(net(x), y).backward()
            optimizer.step()
"""

DEEDS = {
    "os._exit": "os._exit(3)",
    "sys.exit": "sys.exit(3)",
    "sys.exit in a thread": "t = threading.Thread(target=sys.exit); t.start(); t.join()",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM)",
    "abort": "os.abort()",
    "deleted folder": "os.chdir(HERE + '/gone'); shutil.rmtree(HERE + '/gone')",
    "deleted source": "os.remove(__file__)",
    "closed streams": "os.close(1); os.close(2)",
    "closed descriptors": "os.closerange(3, 256)",
    "flood": "sys.stdout.buffer.write(b'\\xff\\x1b[31m' * 4_000_000); print('x' * 10, flush=True)",
    "flood of lines": "[print('\\x1b]0;t\\x07', i, file=sys.stderr) for i in range(50_000)]",
    "messages": "[os.write(n, b'[\"RunEnded\", {}]\\n') for n in range(3, 40) if is_pipe(n)]",
    "rubbish": "[os.write(n, b'\\x80\\x04N.\\n' * 9) for n in range(3, 40) if is_pipe(n)]",
    "endless line": "[os.write(n, b'[' * 5_000_000) for n in range(3, 40) if is_pipe(n)]",
    "forks": "os.fork() or os._exit(0)",
    "children": "__import__('subprocess').Popen(['sleep', '300'], stdout=-3, stderr=-3)",
    "no limits": "sys.setrecursionlimit(60)",
    "out of files": "__import__('resource').setrlimit(7, (12, 12))",
    "small files": "signal.signal(25, signal.SIG_IGN); __import__('resource').setrlimit(1, (0, 0))",
    "exits with threads": "threading.Thread(target=time.sleep, args=(300,), daemon=True).start()",
    "handler raises": "atexit.register(lambda: 1 / 0)",
    "no garbage": "gc.freeze(); gc.disable()",
    "unloads": "[sys.modules.pop(m) for m in list(sys.modules) if m.startswith('traindoctor')]",
    "patches open": "__import__('builtins').open = None",
    "patches json": "__import__('json').dumps = None",
    "patches os": "os.write = os.pwrite = os.getpid = None",
    "patches len": "__import__('builtins').len = lambda _: 1 / 0",
    "patches sqlite": "__import__('sqlite3').connect = None",
    "clock backwards": "time.perf_counter = time.monotonic = time.time = lambda: -1.0",
    "double": "torch.set_default_dtype(torch.float64)",
    "meta": "torch.set_default_device('meta')",
    "own base": "raise type('Own', (BaseException,), {})('gone')",
    "unspeakable": "raise type('Odd', (Exception,), {'__str__': lambda s: 1 / 0})()",
    "recursion": "deed()",
}
ENDLESS = {"hang": "time.sleep(300)", "busy": "while True: pass"}
PIPE = """
def is_pipe(n):
    try:
        os.set_blocking(n, False)
        return os.readlink(f"/proc/self/fd/{n}").startswith("pipe")
    except OSError:
        return False
"""


def program(deed: str) -> str:
    """Return a program that does something at its fifth forward pass."""
    return f"{HEAD}    {deed}\n{PIPE}{SETUP}{TRAIN}"
