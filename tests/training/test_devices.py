import os
import statistics

import pytest
import torch

from assistlearn.errors import DeviceError, LocalProtocolError
from assistlearn.training import autocast, choose_device, set_threads, use_deterministic
from assistlearn.training.noise import standard_normal


def test_auto_always_finds_a_device() -> None:
    assert choose_device("auto").type in {"cpu", "cuda", "mps"}
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "", "cuda:-1"])
def test_unknown_device_is_refused_with_a_hint(name: str) -> None:
    with pytest.raises(DeviceError, match="unknown") as caught:
        choose_device(name)

    assert caught.value.hint


@pytest.mark.parametrize("name", ["cuda:64", "mps:2", "cpu:5"])
def test_device_that_this_machine_lacks_is_refused(name: str) -> None:
    with pytest.raises(DeviceError, match="not available") as caught:
        choose_device(name)

    assert caught.value.hint


def test_bfloat16_is_mixed_precision_and_float32_changes_nothing() -> None:
    layer = torch.nn.Linear(2, 2)
    cpu = torch.device("cpu")

    with autocast(cpu, "bfloat16"):
        assert layer(torch.ones(1, 2)).dtype is torch.bfloat16
    with autocast(cpu, "float32"):
        assert layer(torch.ones(1, 2)).dtype is torch.float32
    assert layer.weight.dtype is torch.float32


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(DeviceError, match="float64"):
        autocast(torch.device("cpu"), "float64")


def test_deterministic_mode_can_be_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        use_deterministic(torch.device("cpu"))

        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(False)


def test_thread_count_is_set_or_left_alone() -> None:
    before = torch.get_num_threads()
    try:
        set_threads(0)
        assert torch.get_num_threads() == before
        set_threads(1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    with pytest.raises(DeviceError, match="-1"):
        set_threads(-1)


def test_noise_is_standard_normal_and_repeats_for_its_arguments() -> None:
    draws = [
        standard_normal(bytes([seed] * 16), level=level)
        for seed in range(16)
        for level in range(256)
    ]

    assert abs(statistics.fmean(draws)) < 0.07  # four standard errors
    assert abs(statistics.pstdev(draws) - 1) < 0.05
    assert standard_normal(bytes([3] * 16), level=5) == draws[3 * 256 + 5]
    assert len(set(draws)) == len(draws)


def test_short_noise_seed_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="15 bytes"):
        standard_normal(bytes(15), level=0)
