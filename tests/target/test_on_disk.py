"""A setup that memory would not hold twice is kept on disk, and comes back bit for bit."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
import torch
from torch import nn

from traindoctor.experiments import Lab, ReadWeights, ShortRun
from traindoctor.target import memory, on_disk, room
from traindoctor.target.on_disk import OnDisk
from traindoctor.target.setup import TrainingSetup
from traindoctor.target.snapshot import NoRoom, Snapshot

GENERATOR = torch.Generator().manual_seed(0)


def odd_tensors() -> list[torch.Tensor]:
    """Return tensors of every kind of number, of no elements, of one, and not in order."""
    bits = torch.randint(0, 256, (4096,), dtype=torch.uint8, generator=GENERATOR)
    kinds = (torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.complex64, torch.int64)
    return [
        *(bits.clone().view(kind) for kind in kinds),
        torch.tensor([float("nan"), -0.0, float("-inf")]),
        torch.zeros(0, 3),
        torch.tensor(7.5),
        torch.randn(30, 20, generator=GENERATOR).t(),
        torch.randn(2, 3, 4, 5, generator=GENERATOR).to(memory_format=torch.channels_last),
        torch.randn(8, 8, generator=GENERATOR)[:, ::2],
        torch.rand(9, generator=GENERATOR) > 0.5,
    ]


def bits_of(tensor: torch.Tensor) -> list[int]:
    plain = tensor.contiguous().view(-1).view(torch.uint8)
    return [int(value) for value in plain]


@pytest.mark.parametrize("piece", [64, 1000, 1 << 24])
def test_every_bit_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(on_disk, "PIECE", piece)
    tensors = odd_tensors()
    before = [bits_of(tensor) for tensor in tensors]
    kept = OnDisk(tensors, tmp_path)
    for _ in range(2):
        for tensor in tensors:
            tensor.zero_()
        kept.write_back()
        assert [bits_of(tensor) for tensor in tensors] == before
    assert not list(tmp_path.iterdir()), "the file has no name: nothing can be left behind"


def a_setup() -> TrainingSetup:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Linear(16, 3))
    model[2].weight = nn.Parameter(model[0].weight[:3].detach().repeat(1, 2))
    batches = [(torch.randn(4, 8), torch.tensor([0, 1, 2, 0])) for _ in range(6)]
    return TrainingSetup(
        model=model,
        loader=batches,
        optimizer=torch.optim.AdamW(model.parameters(), lr=1e-2),
        loss_fn=nn.CrossEntropyLoss(),
    )


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda _: 100)


def disk_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Path("/dev/full").open("r+b", 0))  # noqa: SIM115


@pytest.mark.usefixtures("little_memory")
def test_a_setup_comes_back_from_disk() -> None:
    setup = a_setup()
    setup.loss_fn(setup.model(torch.randn(4, 8)), torch.tensor([0, 1, 2, 0])).backward()
    gradients = [p.grad.clone() for p in setup.model.parameters() if p.grad is not None]
    before = [t.clone() for t in setup.model.state_dict().values()]
    snapshot = Snapshot.take(setup)
    assert snapshot.num_bytes == 0, "nothing is copied in memory"
    for batch in setup.loader:
        setup.loss_fn(setup.model(batch[0]), batch[1]).backward()
        setup.optimizer.step()
    snapshot.restore()
    assert all(map(torch.equal, setup.model.state_dict().values(), before))
    assert all(map(torch.equal, (p.grad for p in setup.model.parameters()), gradients))
    assert not setup.optimizer.state


@pytest.mark.usefixtures("little_memory")
def test_a_full_disk_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    disk_is_full(monkeypatch)
    lab = Lab(a_setup())
    with pytest.raises(NoRoom, match=r"^a copy of the setup, .*No space left on device in"):
        Snapshot.take(lab.setup)
    reason = lab.refusal(ShortRun())
    assert reason is not None
    assert reason.count("\n") == 0
    assert reason.endswith("or do without a copy (--no-restore)")
    assert lab.refusal(ReadWeights()) is None, "what changes nothing needs no copy"
    assert lab.perform(ReadWeights()).parameters


def test_without_a_wish_for_a_copy_no_room_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    disk_is_full(monkeypatch)
    lab = Lab(a_setup(), restore=False)
    assert lab.refusal(ShortRun()) is None
    assert len(lab.perform(ShortRun()).steps) == 6


def test_a_folder_in_memory_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_file_system", lambda folder: "tmpfs")
    assert room.roomiest_folder()[1] == 0


def test_the_limit_of_a_control_group_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = {
        "/proc/meminfo": "MemTotal: 8000000 kB\nMemAvailable: 4000000 kB",
        "/proc/self/cgroup": "0::/job",
        "/sys/fs/cgroup/job/memory.max": "1000000",
        "/sys/fs/cgroup/job/memory.current": "900000",
        "/sys/fs/cgroup/job/memory.stat": "anon 1\ninactive_file 5000",
    }
    monkeypatch.setattr(room, "_lines", lambda file: written.get(file, "").splitlines())
    assert room.free_memory(torch.device("cpu")) == 105_000
    written["/sys/fs/cgroup/job/memory.max"] = "max"
    assert room.free_memory(torch.device("cpu")) == 4_096_000_000
