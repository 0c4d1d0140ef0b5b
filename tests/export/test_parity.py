"""What a comparison with PyTorch makes of its differences."""

import math
from pathlib import Path
from typing import Any

import pytest

from genkit.errors import InputError, ModelError
from genkit.runtime.devices import default_threads
from genkit_export.parity import Graph, check, distance, largest

WEIGHTS = Path(__file__).parents[2] / "weights"


@pytest.mark.parametrize("differences", [(0.1, math.nan), (math.nan, 0.1), (math.nan,)])
def test_what_is_no_number_is_never_close_enough(differences: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match=r"graph\.onnx gives no numbers"):
        check("graph.onnx", largest(differences), 1e-4)


def test_the_largest_difference_counts() -> None:
    check("graph.onnx", largest([1e-5, 1e-4, 0]), 1e-4)
    with pytest.raises(ModelError, match=r"difference 2\.0e-04, allowed"):
        check("graph.onnx", largest([1e-5, 2e-4, 0]), 1e-4)


def test_infinite_scores_are_compared_too() -> None:
    assert distance([-math.inf, 1.0], [-math.inf, 1.5]) == 0.5
    assert distance([-math.inf], [0.0]) == math.inf
    assert math.isnan(distance([math.nan], [0.0]))


def test_a_graph_is_compared_under_the_settings_that_it_will_run_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import onnxruntime

    seen: list[Any] = []
    session = onnxruntime.InferenceSession

    def spy(graph: Any, settings: Any, **options: Any) -> Any:
        seen.append(settings)
        return session(graph, settings, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    Graph(WEIGHTS / "sample" / "dcgan" / "generate.fp32.onnx")
    (settings,) = seen
    assert settings.get_session_config_entry("session.set_denormal_as_zero") == "1"
    assert settings.intra_op_num_threads == default_threads()
