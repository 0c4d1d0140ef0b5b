"""OpenVINO, as a provider of ONNX Runtime: a library of its own that is registered with it.

It computes convolutions in bfloat16 where the processor can, which ONNX Runtime's own kernels
cannot. The module ``onnxruntime`` is passed in, for genkit.runtime alone imports it.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from genkit.errors import first_line
from genkit.streams import captured_output

__all__ = ["INSTALL_OPENVINO", "find_device", "open_graph"]

PROVIDER = "OpenVINOExecutionProvider"
PACKAGE = "onnxruntime_ep_openvino"
INSTALL_OPENVINO = "pip install 'genkit-onnx[openvino]'"
PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}


@cache
def find_device(ort: Any) -> tuple[Any, str, str]:
    """The processor as a device of OpenVINO's; or None, why there is none, and the cure.

    Registering its library takes about 20 ms, once a process.
    """
    if find_spec(PACKAGE) is None:
        return None, "OpenVINO's provider is not installed", INSTALL_OPENVINO
    with captured_output():
        try:
            library = import_module(PACKAGE).get_library_path()
            ort.register_execution_provider_library("OpenVINO", library)
        except Exception as error:  # ONNX Runtime's have no base of their own
            reason = f"OpenVINO's provider does not load: {first_line(error)}"
            return None, reason, INSTALL_OPENVINO
        for device in ort.get_ep_devices():
            if device.ep_name == PROVIDER and device.ep_metadata.get("ov_device") == "CPU":
                return device, "", ""
    # Its release 1.8 looks at the vendor and not at what the processor can do.
    reason = "OpenVINO's provider serves Intel's processors only, and this is none"
    return None, reason, "take a machine with one"


def open_graph(ort: Any, path: Path, settings: Any, precision: str) -> tuple[Any, str]:
    """A session of an fp32 graph, computed in fp32 or bf16 on the device of find_device(); or
    None and the reason why there is none.

    Takes 0.25 s for a CycleGAN generator of two million weights (one core); OpenVINO's cache of
    compiled models saves a tenth of that, and is not used. The first picture of a size takes up
    to 20 ms longer than the next, and nothing is compiled anew.
    """
    device, *_ = find_device(ort)
    config = {
        "INFERENCE_PRECISION_HINT": PRECISION_HINTS[precision],
        "INFERENCE_NUM_THREADS": str(settings.intra_op_num_threads),
    }
    settings.add_provider_for_devices([device], {"load_config": json.dumps({"CPU": config})})
    with captured_output():
        try:
            return ort.InferenceSession(str(path), settings), ""
        except Exception as error:
            return None, first_line(error)
