"""Trace backward passes into graphs of forward operations, for engines without automatic differentiation.

A module that calls ``torch.autograd.grad`` is traced once; the result needs no autograd to run.
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
    """Trace a module and its calls to autograd into a graph of forward operations.

    Args:
        module: Takes and returns tensors; its parameters do not require gradients.
        examples: One tensor per input; the first dimension stays dynamic, the others are fixed.

    Returns:
        A module with the same inputs and outputs.

    Raises:
        BadInput: If the module converts the first dimension to a constant, or writes in place into a part of a tensor.
    """
    # the tracer identifies dimensions of equal size, so the number of images must differ from all other sizes
    others = {side for example in examples for side in example.shape[1:]}
    count = next(n for n in range(5, 1000) if n not in others)
    batches = [example[:1].expand(count, *example.shape[1:]).contiguous() for example in examples]
    # attention as separate operations: the gradient of a fused kernel is one opaque operation
    with sdpa_kernel(SDPBackend.MATH), _PlainPooling():
        trace = make_fx(module, _DECOMPOSITIONS, tracing_mode="symbolic", _allow_non_fake_inputs=True)
        traced = trace(*batches)
    free = next(node for node in traced.graph.nodes if node.op == "placeholder").meta["val"].shape[0]
    if not isinstance(free, torch.SymInt) or free.node.expr.is_number:
        name = type(module).__name__
        raise BadInput(f"expected a network that takes any number of images, but {name} fixes it; use engine torch")
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
    """Replace global average pooling by ``mean``: torch's own rearranges strides of channels-last tensors."""

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
    """Express the gradient of a convolution with respect to its input as a convolution.

    At stride 1 it is a convolution with flipped kernels, which engines run much faster than a transposed convolution.

    Returns:
        The gradient, and None for the gradients of weight and bias; ``NotImplemented`` for convolutions that are
        transposed or not two-dimensional.
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


# sizes may be symbolic, so their type is left open
def select_backward(gradient: Tensor, sizes: Sequence[Any], dimension: int, index: int) -> Tensor:
    """Express the gradient of ``select`` as padding, since engines do not support in-place writes into zeros."""
    index %= sizes[dimension]
    margins = (index, sizes[dimension] - index - 1)
    return _padded(gradient.unsqueeze(dimension), dimension, margins)


def slice_backward(gradient: Tensor, sizes: Sequence[Any], dimension: int, start: Any, end: Any, step: int) -> Tensor:
    """Express the gradient of ``slice`` as padding; ``NotImplemented`` for steps other than 1."""
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
    """Replace symbolic sizes by constants, except those that depend on the number of images."""
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
    # not dropped: the original may be overwritten in place, and the backward pass needs its old value
    _put(graph, node, graph.call_method("clone", node.args[:1]))


def _pass_on_second(graph: fx.Graph, node: fx.Node) -> None:
    # an in-place operation is traced as a new value and a copy into the old one; views of the old one would miss it
    seen: Any = node.args[0]
    while isinstance(seen, fx.Node):
        if any(user > node for user in seen.users):
            raise BadInput(
                "expected a network that never writes into part of a tensor, got one that does; use engine torch"
            )
        schema = getattr(seen.target, "_schema", None)
        is_view = schema is not None and any(part.alias_info for part in schema.returns)
        seen = seen.args[0] if is_view else None
    _put(graph, node, node.args[1])


def _view(graph: fx.Graph, node: fx.Node) -> None:
    source, shape = cast("tuple[fx.Node, list[Any]]", node.args)
    if any(isinstance(side, fx.Node) for side in shape):
        # only the dynamic dimension may be -1: one that the network itself left as -1 gets its traced size
        traced = zip(shape, node.meta["val"].shape, strict=True)
        shape = [-1 if isinstance(side, fx.Node) else int(length) if side == -1 else side for side, length in traced]
    _put(graph, node, graph.call_method("reshape", (source, shape)))


def _expand(graph: fx.Graph, node: fx.Node) -> None:
    # as a method call, whose traced size stays dynamic
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
    """Replace the outputs of an operation, one by one; an output without a replacement fails to convert later."""
    for user in list(node.users):
        if user.target is operator.getitem and cast("int", user.args[1]) < len(parts):
            _put(graph, user, parts[cast("int", user.args[1])])
    if not node.users:
        graph.erase_node(node)


#: Operations of a trace that engines do not support, and how each is rewritten. A new operation is a new row.
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
