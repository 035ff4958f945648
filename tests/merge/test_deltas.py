"""The one property of torch that the streaming rests on: parts of a product have the bits of the whole."""

from __future__ import annotations

import pytest

from sage_doctor.merge.streams import spans


@pytest.mark.parametrize("out_size, in_size, rank", [(576, 1536, 4), (1000, 896, 8), (2048, 77, 64), (896, 4864, 512)])
@pytest.mark.parametrize("step", [32, 107, 512])
def test_blocks_of_a_product_have_the_bits_of_the_whole(out_size: int, in_size: int, rank: int, step: int) -> None:
    import torch

    generator = torch.Generator().manual_seed(out_size)
    a = torch.randn(rank, in_size, generator=generator)
    b = torch.randn(out_size, rank, generator=generator)
    torch.set_num_threads(2)  # as PEFT would run
    whole = b @ a
    torch.set_num_threads(1)
    rows = torch.cat([b[s:e] @ a for s, e in spans(out_size, step)])
    columns = torch.cat([b @ a[:, s:e] for s, e in spans(in_size, step)], dim=1)

    assert torch.equal(rows, whole)
    assert torch.equal(columns, whole)


@pytest.mark.parametrize("count", [0, 1, 5, 64, 65, 1000])
def test_spans_cover_everything_evenly(count: int) -> None:
    found = spans(count, 64)

    assert [n for s, e in found for n in range(s, e)] == list(range(count))
    assert not found or max(e - s for s, e in found) - min(e - s for s, e in found) <= 1
    assert all(e - s <= 64 for s, e in found)
