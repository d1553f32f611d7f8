"""Write a backward pass out as ordinary operations, so that an engine without automatic differentiation can run it.

A module that calls ``torch.autograd.grad`` is traced once; what comes out is a plain graph of forward operations.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch._decomp import get_decompositions
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from bglab.errors import BadInput

_ATEN = torch.ops.aten

# torch's own formulas for the gradients of activations, norms and pooling
_GRADIENTS = get_decompositions(
    [
        _ATEN._log_softmax_backward_data,
        _ATEN._softmax_backward_data,
        _ATEN.elu_backward,
        _ATEN.gelu_backward,
        _ATEN.hardsigmoid_backward,
        _ATEN.hardswish_backward,
        _ATEN.hardtanh_backward,
        _ATEN.leaky_relu_backward,
        _ATEN.mish_backward,
        _ATEN.native_batch_norm_backward,
        _ATEN.native_group_norm_backward,
        _ATEN.native_layer_norm_backward,
        _ATEN.sigmoid_backward,
        _ATEN.silu_backward,
        _ATEN.softplus_backward,
        _ATEN.tanh_backward,
        _ATEN.threshold_backward,
    ]
)


def write_out(module: nn.Module, examples: Sequence[Tensor]) -> fx.GraphModule:
    """Trace a module with its calls to autograd into a graph that needs none.

    Args:
        module: Gives tensors; its parameters need no gradient.
        examples: One tensor for each of its inputs; the first dimension stays free, the others are fixed.

    Returns:
        A module of the same inputs and outputs.

    Raises:
        BadInput: If the module turns the first dimension into a plain number, which the trace would then hold, or
            writes into part of a value.
    """
    # the tracer takes sides of one length for the same side, so the number of images must be no other's
    others = {side for example in examples for side in example.shape[1:]}
    count = next(n for n in range(5, 1000) if n not in others)
    batches = [example[:1].expand(count, *example.shape[1:]).contiguous() for example in examples]
    # attention in its plain form: a fused kernel's gradient is one opaque operation
    with sdpa_kernel(SDPBackend.MATH), _PlainPooling():
        trace = make_fx(module, _DECOMPOSITIONS, tracing_mode="symbolic", _allow_non_fake_inputs=True)
        traced = trace(*batches)
    free = next(node for node in traced.graph.nodes if node.op == "placeholder").meta["val"].shape[0]
    if not isinstance(free, torch.SymInt) or free.node.expr.is_number:
        name = type(module).__name__
        raise BadInput(f"expected a network that takes any number of images, but {name} fixes it; run it by torch")
    _fix_sides(traced.graph, free.node.expr)
    for node in list(traced.graph.nodes):
        rule = _RULES.get(node.target)
        if rule is not None:
            with traced.graph.inserting_before(node):
                rule(traced.graph, node)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced


class _PlainPooling(TorchFunctionMode):
    """Average over all positions by ``mean``: pooling as torch has it rearranges strides where channels come last."""

    def __torch_function__(
        self, function: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if function is nn.functional.adaptive_avg_pool2d and [*args, *named.values()][1] in (1, (1, 1), [1, 1]):
            return args[0].mean((2, 3), keepdim=True)
        return function(*args, **named)


def convolution_backward(
    gradient: Tensor,
    inputs: Tensor,
    weight: Tensor,
    _bias_sizes: Any,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,  # noqa: FBT001 - torch's signature
    _output_padding: Any,
    groups: int,
    _wanted: Any,
) -> tuple[Float[Tensor, "n k h w"], None, None]:
    """Write a convolution's gradient with respect to its input as a convolution.

    At stride 1 it is one with mirrored kernels, which engines run far faster than a transposed convolution.
    """
    if transposed or weight.ndim != 4:
        return NotImplemented
    reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    if all(s == 1 for s in stride):
        mirrored = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1).flip(2, 3)
        margins = [r - p for r, p in zip(reach, padding, strict=True)]
        return nn.functional.conv2d(gradient, mirrored, None, 1, margins, dilation, groups), None, None
    sides = zip(inputs.shape[2:], gradient.shape[2:], stride, padding, reach, strict=True)
    left_over = [int(i) - ((int(o) - 1) * s - 2 * p + r + 1) for i, o, s, p, r in sides]
    spread = nn.functional.conv_transpose2d(gradient, weight, None, stride, padding, left_over, groups, dilation)
    return spread, None, None


# sizes may be symbols of the tracer, so their type is left open
def select_backward(gradient: Tensor, sizes: Sequence[Any], dimension: int, index: int) -> Tensor:
    """Write the gradient of selecting one slice as padding, which engines support, instead of writing into zeros."""
    index %= sizes[dimension]
    margins = (index, sizes[dimension] - index - 1)
    return _padded(gradient.unsqueeze(dimension), dimension, margins)


def slice_backward(gradient: Tensor, sizes: Sequence[Any], dimension: int, start: Any, end: Any, step: int) -> Tensor:
    """Write the gradient of slicing as padding."""
    if step != 1:
        return NotImplemented
    length = sizes[dimension]
    start = start + length if start < 0 else start
    end = min(end + length if end < 0 else end, length)
    return _padded(gradient, dimension, (start, length - end))


def _padded(tensor: Tensor, dimension: int, margins: tuple[Any, Any]) -> Tensor:
    after = tensor.ndim - 1 - dimension % tensor.ndim
    return _ATEN.constant_pad_nd(tensor, [0, 0] * after + list(margins))


_DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {
    **_GRADIENTS,
    _ATEN.convolution_backward.default: convolution_backward,
    _ATEN.select_backward.default: select_backward,
    _ATEN.slice_backward.default: slice_backward,
}


def _fix_sides(graph: fx.Graph, free: Any) -> None:
    """Put numbers where the trace computes with the sides of images; only their number stays free."""
    for node in list(graph.nodes):
        value = node.meta.get("val")
        if not isinstance(value, (torch.SymInt, torch.SymFloat)):
            continue
        if free not in value.node.expr.free_symbols:
            _put(graph, node, value.node.hint)
        elif node.target is _ATEN.sym_size.int:
            with graph.inserting_before(node):
                _put(graph, node, graph.call_method("size", node.args))


def _put(graph: fx.Graph, node: fx.Node, replacement: Any) -> None:
    node.replace_all_uses_with(replacement)
    graph.erase_node(node)


def _pass_on(graph: fx.Graph, node: fx.Node) -> None:
    _put(graph, node, node.args[0])


def _copy(graph: fx.Graph, node: fx.Node) -> None:
    # kept: what is copied may be written over in place, and the backward pass wants it as it was
    _put(graph, node, graph.call_method("clone", node.args[:1]))


def _pass_on_second(graph: fx.Graph, node: fx.Node) -> None:
    # in-place operations come as new values and a copy into the old one; who looks at the old one by another name
    # would miss it
    seen: Any = node.args[0]
    while isinstance(seen, fx.Node):
        if any(user > node for user in seen.users):
            raise BadInput("expected a network that writes into no part of a value, but one does; run it by torch")
        schema = getattr(seen.target, "_schema", None)
        is_view = schema is not None and any(part.alias_info for part in schema.returns)
        seen = seen.args[0] if is_view else None
    _put(graph, node, node.args[1])


def _view(graph: fx.Graph, node: fx.Node) -> None:
    source, shape = cast("tuple[fx.Node, list[Any]]", node.args)
    if any(isinstance(side, fx.Node) for side in shape):
        # only the free side may stay open: what the network itself left open gets its number
        traced = zip(shape, node.meta["val"].shape, strict=True)
        shape = [-1 if isinstance(side, fx.Node) else int(length) if side == -1 else side for side, length in traced]
    _put(graph, node, graph.call_method("reshape", (source, shape)))


def _expand(graph: fx.Graph, node: fx.Node) -> None:
    # as a method, whose traced size stays free
    _put(graph, node, graph.call_method("expand", node.args[:2]))


def _full(graph: fx.Graph, node: fx.Node) -> None:
    _put(graph, node, graph.call_function(torch.full, node.args[:2], {"dtype": node.meta["val"].dtype}))


def _cast(graph: fx.Graph, node: fx.Node) -> None:
    _put(graph, node, graph.call_method("to", (node.args[0], node.meta["val"].dtype)))


def _softmax(graph: fx.Graph, node: fx.Node) -> None:
    _put(graph, node, graph.call_function(torch.softmax, node.args[:2]))


def _adaptive_average(graph: fx.Graph, node: fx.Node) -> None:
    _put(graph, node, graph.call_function(nn.functional.adaptive_avg_pool2d, node.args))


def _batch_norm(graph: fx.Graph, node: fx.Node) -> None:
    inputs, weight, bias, mean, variance = node.args[:5]
    arguments = (inputs, mean, variance, weight, bias, False, 0.0, node.args[-1])
    _put_parts(graph, node, [graph.call_function(nn.functional.batch_norm, arguments)])


def _layer_norm(graph: fx.Graph, node: fx.Node) -> None:
    inputs, shape, weight, bias, epsilon = cast("tuple[fx.Node, list[int], Any, Any, float]", node.args)
    normed = graph.call_function(nn.functional.layer_norm, (inputs, shape, weight, bias, epsilon))
    dimensions = [-1 - i for i in range(len(shape))]
    mean = graph.call_method("mean", (inputs, dimensions, True))
    centred = graph.call_function(operator.sub, (inputs, mean))
    variance = graph.call_method("mean", (graph.call_function(operator.mul, (centred, centred)), dimensions, True))
    spread = graph.call_function(torch.rsqrt, (graph.call_function(operator.add, (variance, epsilon)),))
    _put_parts(graph, node, [normed, mean, spread])


def _max_pool(graph: fx.Graph, node: fx.Node) -> None:
    _put_parts(graph, node, [graph.call_function(nn.functional.max_pool2d, node.args)])


def _put_parts(graph: fx.Graph, node: fx.Node, parts: list[fx.Node]) -> None:
    """Put values where parts of an operation's answer were taken; a part that has none stays, and fails to convert."""
    for user in list(node.users):
        if user.target is operator.getitem and cast("int", user.args[1]) < len(parts):
            _put(graph, user, parts[cast("int", user.args[1])])
    if not node.users:
        graph.erase_node(node)


#: What a trace calls by names that engines do not know. A new operation is a new row.
_RULES: dict[Any, Callable[[fx.Graph, fx.Node], None]] = {
    _ATEN._adaptive_avg_pool2d.default: _adaptive_average,
    _ATEN._native_batch_norm_legit_no_training.default: _batch_norm,
    _ATEN._safe_softmax.default: _softmax,
    _ATEN._softmax.default: _softmax,
    _ATEN._to_copy.default: _cast,
    _ATEN._unsafe_view.default: _view,
    _ATEN.alias.default: _pass_on,
    _ATEN.clone.default: _copy,
    _ATEN.copy_.default: _pass_on_second,
    _ATEN.detach.default: _pass_on,
    _ATEN.expand.default: _expand,
    _ATEN.full.default: _full,
    _ATEN.max_pool2d_with_indices.default: _max_pool,
    _ATEN.native_batch_norm.default: _batch_norm,
    _ATEN.native_layer_norm.default: _layer_norm,
    _ATEN.view.default: _view,
}
