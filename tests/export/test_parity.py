"""What a comparison with PyTorch makes of its differences."""

import math

import pytest

from genkit.errors import ModelError
from genkit_export.parity import check, largest


@pytest.mark.parametrize("differences", [(0.1, math.nan), (math.nan, 0.1), (math.nan,)])
def test_what_is_no_number_is_never_close_enough(differences: tuple[float, ...]) -> None:
    with pytest.raises(ModelError, match=r"graph\.onnx does not compute what PyTorch does"):
        check("graph.onnx", largest(differences), 1e-4)


def test_the_largest_difference_counts() -> None:
    check("graph.onnx", largest([1e-5, 1e-4, 0]), 1e-4)
    with pytest.raises(ModelError, match=r"difference 2\.0e-04, allowed"):
        check("graph.onnx", largest([1e-5, 2e-4, 0]), 1e-4)
