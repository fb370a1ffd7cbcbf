"""Data-parallel under torchrun (gloo): two processes learn what one learns, and a stopped run goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import bitpress

SCRIPT = """
import os, sys
from pathlib import Path
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
import bitpress as bp

folder, stop = Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
torch.manual_seed(0)
module = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 3))
x = torch.randn(64, 12)
rows = TensorDataset(x, x[:, :3].argmax(1))
rule = bp.Rule("*weight", bp.Scheme.int(3, sparse=True), sparsity=0.5)
press = bp.torch.prepare(module, bp.Recipe((rule,)), schedule=bp.torch.Cubic(8, every=2), quantize_at=6)
loader = DataLoader(rows, 16, sampler=DistributedSampler(rows, shuffle=False))

def step():
    press.step()
    if press.clock == stop:
        sys.stdout.flush()
        os._exit(3)

parallel = DistributedDataParallel(module, find_unused_parameters=True)  # steps, until rounding begins
bp.torch.fit(parallel, loader, epochs=8, after_step=step, scheduler=None,
             checkpoint=folder / f"{rank}.checkpoint", checkpoint_every=1)
bp.torch.convert(module).save(folder / f"{rank}.safetensors")
torch.distributed.destroy_process_group()
"""


def torchrun(folder: Path, processes: int, stop: int = 0) -> int:
    folder.mkdir(exist_ok=True)
    script = folder / "train.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    command.append(f"--nproc_per_node={processes}")
    python = str(Path(bitpress.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": python, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    environment["GLOO_SOCKET_IFNAME"] = "lo"  # a machine may be unable to resolve its own name
    ran = subprocess.run(
        [*command, script, str(folder), str(stop)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0 or stop, ran.stderr[-2000:]
    return ran.returncode


@pytest.mark.slow
def test_two_processes_end_alike_and_resume(tmp_path: Path) -> None:
    torchrun(tmp_path / "whole", 2)
    files = [(tmp_path / "whole" / f"{rank}.safetensors").read_bytes() for rank in range(2)]
    assert files[0] == files[1]
    assert torchrun(tmp_path / "stopped", 2, stop=5) != 0
    torchrun(tmp_path / "stopped", 2)
    again = [(tmp_path / "stopped" / f"{rank}.safetensors").read_bytes() for rank in range(2)]
    assert again == files
    opened = bitpress.load(tmp_path / "whole" / "0.safetensors")
    assert opened.tensors["0.weight"].survivors <= 144
    assert torch.from_numpy(opened.tensors["0.weight"].unpack().copy()).unique().numel() <= 8
