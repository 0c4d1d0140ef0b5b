"""Pickles by chance: opcodes, the names that the reader knows, and numbers at the edges."""

from __future__ import annotations

import pickle
import random
import struct
from collections.abc import Callable

from checkpoint_files import Named, Storage, pickled, rebuilt

NAMES = """collections.OrderedDict collections.Counter collections.defaultdict torch.Size torch.device
torch._utils._rebuild_tensor torch._utils._rebuild_tensor_v2 torch._utils._rebuild_tensor_v3
torch._utils._rebuild_parameter torch._utils._rebuild_parameter_with_state
torch._utils._rebuild_device_tensor_from_numpy torch._tensor._rebuild_from_type_v2 torch.FloatStorage
torch.HalfStorage torch.UntypedStorage torch.float32 torch.int64 torch.nn.parameter.Parameter
_codecs.encode builtins.set builtins.frozenset builtins.bytearray builtins.complex builtins.dict
copyreg._reconstructor copyreg.__newobj__ numpy.dtype numpy.core.multiarray._reconstruct
numpy.core.multiarray.scalar torch.jit._pickle.restore_type_tag omegaconf.dictconfig.DictConfig
argparse.Namespace functools.partial os.system builtins.getattr builtins.eval x.y""".split()
EDGES = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    16,
    64,
    255,
    256,
    65535,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**62,
    2**63 - 1,
)


def program(rng: random.Random) -> bytes:
    """A pickle by chance: of opcodes that make sense one after the other, or only often do."""
    head = b"\x80" + bytes([rng.choice((0, 2, 4))])
    if rng.random() < 0.7:
        return head + _value(rng, rng.choice((2, 4, 7)), [0]) + b"."
    count = rng.choice((5, 20, 100, 1000))
    return head + b"".join(rng.choice(PIECES)(rng) for _ in range(count)) + b"."


def _value(rng: random.Random, depth: int, kept: list[int]) -> bytes:
    """Opcodes that push one value. `kept` counts what is kept for later."""
    if depth <= 0 or rng.random() < 0.15:
        if kept[0] and rng.random() < 0.4:
            return b"h" + bytes([rng.randrange(min(kept[0], 256))])
        return rng.choice((_text, _number, _storage, _tensor, _name, _simple))(rng)
    several = [_value(rng, depth - 1, kept) for _ in range(rng.choice((0, 1, 2, 4)))]
    match rng.randrange(7):
        case 0:
            out = b"](" + b"".join(several) + b"e"
        case 1:
            pairs = [_text(rng) + one for one in several]
            out = b"}(" + b"".join(pairs) + b"u"
        case 2:
            out = b"(" + b"".join(several) + b"t"
        case 3:
            out = _name(rng) + b"(" + b"".join(several) + b"t" + rng.choice((b"R", b"\x81"))
        case 4:
            made = _name(rng) + b")" + rng.choice((b"R", b"\x81"))
            out = made + _value(rng, depth - 1, kept) + b"b"
        case 5:
            items = b"".join(_simple(rng) for _ in several)
            out = rng.choice((b"\x8f(" + items + b"\x90", b"(" + items + b"\x91"))
        case _:
            keeps = b"q" + bytes([kept[0] % 256])
            kept[0] += 1
            # A thing that holds itself, now and then.
            return b"}" + keeps + _text(rng) + _value(rng, depth - 1, kept) + b"s"
    if rng.random() < 0.5:
        out += b"q" + bytes([kept[0] % 256])
        kept[0] += 1
    return out


def _simple(rng: random.Random) -> bytes:
    return rng.choice((b"N", b"\x88", b")", b"K\x03", b"G" + struct.pack(">d", 1.5), b"C\x01a"))


def _text(rng: random.Random) -> bytes:
    text = rng.choice(
        (b"", b"w", b"storage", b"0", b"cpu", b"f4", b"latin1", b"\x1b[2J", b"k" * 300)
    )
    return b"X" + struct.pack("<I", len(text)) + text


def _name(rng: random.Random) -> bytes:
    module, _, name = rng.choice(NAMES).rpartition(".")
    return f"c{module}\n{name}\n".encode()


def _number(rng: random.Random) -> bytes:
    value = rng.choice(EDGES) * rng.choice((1, 1, -1))
    return pickle.dumps(value, 2)[2:-1]


def _piece(*choices: bytes) -> Callable[[random.Random], bytes]:
    return lambda rng: rng.choice(choices)


def _storage(rng: random.Random) -> bytes:
    kind = Named(rng.choice(("torch.FloatStorage", "torch.LongStorage", "torch.UntypedStorage")))
    return pickled(("storage", kind, "0", "cpu", rng.choice((4, 4, 16, 2, 1 << 40))))[2:-1] + b"Q"


def _tensor(rng: random.Random) -> bytes:
    sizes = rng.choices((0, 1, 2, 4, 1 << 31, -1), k=rng.choice((0, 1, 2)))
    steps = rng.choices((0, 1, 2, 1 << 62, -1), k=len(sizes))
    content = rebuilt(Storage("0", 4), rng.choice((0, 0, 1, 3, 99)), tuple(sizes), tuple(steps))
    return pickled(content)[2:-1]


PIECES = (
    _text, _name, _number, _storage, _tensor,
    _piece(b"(", b"]", b"}", b")", b"\x8f", b"N", b"\x88", b"(", b"K\x01"),
    _piece(b"a", b"e", b"s", b"u", b"\x90", b"b", b"R", b"\x81", b"\x92", b"\x91", b"o"),
    _piece(b"t", b"l", b"d", b"\x85", b"\x86", b"\x87", b"0", b"1", b"2", b"Q", b"\x93"),
    lambda rng: rng.choice((b"q", b"h")) + bytes([rng.randrange(6)]),
    lambda rng: b"\x94",
    lambda rng: bytes([rng.randrange(256)]),
)  # fmt: skip
