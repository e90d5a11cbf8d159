import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from sercli.methods.alignment import align, mean_over_frames  # noqa: E402

PAIRS = [(1, 1), (1, 9), (9, 1), (4, 4), (3, 7), (7, 3), (5, 20), (20, 5), (50, 49), (49, 50)]


def ones(count: int) -> torch.Tensor:
    return torch.tensor([count])


@pytest.mark.parametrize(("teacher", "student"), PAIRS)
def test_equals_torch_interpolation(teacher: int, student: int) -> None:
    frames = torch.randn(1, teacher, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(frames.transpose(1, 2), student, mode="linear", align_corners=False)
    found = align(frames, ones(teacher), ones(student), student)
    torch.testing.assert_close(found, expected.transpose(1, 2))


@pytest.mark.parametrize(("teacher", "student"), PAIRS)
def test_a_constant_stays_constant(teacher: int, student: int) -> None:
    found = align(torch.full((1, teacher, 2), 3.7), ones(teacher), ones(student), student)
    torch.testing.assert_close(found, torch.full((1, student, 2), 3.7))


@pytest.mark.parametrize(("teacher", "student"), PAIRS)
def test_a_ramp_over_the_clip_stays_that_ramp(teacher: int, student: int) -> None:
    at_teacher, at_student = ((torch.arange(n, dtype=torch.float64) + 0.5) / n for n in (teacher, student))
    found = align(at_teacher[None], ones(teacher), ones(student), student)
    # Before the teacher's first centre and after its last one there is nothing to interpolate between.
    torch.testing.assert_close(found[0], at_student.clamp(at_teacher[0], at_teacher[-1]))


def test_equal_counts_change_no_bit() -> None:
    counts = torch.arange(1, 300)
    frames = torch.randn(len(counts), 299, generator=torch.Generator().manual_seed(0))
    inside = torch.arange(299)[None, :] < counts[:, None]
    assert torch.equal(align(frames, counts, counts, 299), torch.where(inside, frames, 0.0))


def test_padding_is_never_read() -> None:
    frames = torch.full((3, 9, 2), torch.nan)
    teacher, student = torch.tensor([9, 4, 1]), torch.tensor([5, 6, 2])
    for clip, count in enumerate(teacher):
        frames[clip, :count] = torch.randn(int(count), 2, generator=torch.Generator().manual_seed(clip))
    together = align(frames, teacher, student, 8)
    for clip, (count, wanted) in enumerate(zip(teacher, student, strict=True)):
        alone = align(frames[clip : clip + 1, :count], count[None], wanted[None], int(wanted))
        assert torch.equal(together[clip, :wanted], alone[0])
        assert not together[clip, wanted:].any()


def test_layers_are_aligned_alike() -> None:
    frames = torch.randn(2, 6, 3, 4, generator=torch.Generator().manual_seed(0))
    counts, wanted = torch.tensor([6, 4]), torch.tensor([3, 2])
    together = align(frames, counts, wanted, 3)
    assert together.shape == (2, 3, 3, 4)
    assert torch.equal(together[:, :, 1], align(frames[:, :, 1], counts, wanted, 3))


def test_means_skip_padding() -> None:
    values = torch.tensor([[1.0, 2.0, torch.nan], [4.0, 5.0, 9.0]])
    counts = torch.tensor([2, 3])
    torch.testing.assert_close(mean_over_frames(values, counts), torch.tensor([1.5, 6.0]))
    wide = mean_over_frames(values[:, :, None].expand(-1, -1, 4), counts)
    torch.testing.assert_close(wide, torch.tensor([[1.5], [6.0]]).expand(-1, 4))
