"""Small faults that could be in a module: each a place of its source and what is put there instead."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
# What they say is for people, or is not run as Python.
_LOGS = {"LOG", "_LOG", "log", "logger", "logging", "warnings"}
_KERNELS = {"compiled", "inlined"}


@dataclass(frozen=True)
class Mutant:
    """A module's source with one thing changed, and what that is in words."""

    line: int
    change: str
    source: bytes


def mutants_of(source: bytes) -> list[Mutant]:
    """Return all mutants of a module, in the order of its text."""
    tree = ast.parse(source)
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node, new in _changes(tree):
        assert node.end_lineno is not None and node.end_col_offset is not None
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        changed = source[:begin] + new.encode() + source[end:]
        try:
            compile(changed, "mutant", "exec")
        except SyntaxError:
            continue
        old = " ".join(source[begin:end].decode().split())
        found.append(((begin, end), Mutant(node.lineno, f"{_short(old)}  ->  {_short(new)}", changed)))
    return [mutant for _, mutant in sorted(found, key=lambda pair: pair[0])]


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:70]} … {text[-25:]}"


def _changes(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Yield what may stand in the place of a node or of one below it."""
    if isinstance(node, ast.expr):
        yield from ((node, f"({ast.unparse(new)})") for new in _expressions(node))
    elif isinstance(node, ast.stmt):
        yield from ((node, new) for new in _statements(node))
    for child in _children(node):
        yield from _changes(child)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes below one in which a fault would be one of the code: no annotations, texts, logs or kernels."""
    if isinstance(node, ast.JoinedStr | ast.MatchValue) or _is_log(node):
        return
    if isinstance(node, ast.FunctionDef):
        names = {part.id for one in node.decorator_list for part in ast.walk(one) if isinstance(part, ast.Name)}
        if names & _KERNELS:
            return
        yield from (default for default in (*node.args.defaults, *node.args.kw_defaults) if default is not None)
        yield from node.body
    elif isinstance(node, ast.ClassDef):
        yield from node.body
    elif isinstance(node, ast.AnnAssign):
        if node.value is not None:
            yield node.value
    elif not (isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp) and _is_type(node.value)):
        yield from ast.iter_child_nodes(node)


def _is_type(node: ast.BinOp) -> bool:
    """Whether this is a union of types, such as the second argument of isinstance."""
    return isinstance(node.op, ast.BitOr) and all(
        isinstance(side, ast.Name | ast.Attribute | ast.Subscript)
        or (isinstance(side, ast.Constant) and side.value is None)
        or (isinstance(side, ast.BinOp) and _is_type(side))
        for side in (node.left, node.right)
    )


def _is_log(node: ast.AST) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    function = call.func if isinstance(call, ast.Call) else None
    return isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id in _LOGS


def _expressions(node: ast.expr) -> Iterator[ast.expr]:
    """Yield what may be computed in place of an expression."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for operator in _COMPARED.get(type(node.ops[0]), ()):
            yield ast.Compare(node.left, [operator()], node.comparators)
    elif isinstance(node, ast.Compare):
        for place, old in enumerate(node.ops):
            for operator in _COMPARED.get(type(old), ())[:1]:
                yield ast.Compare(node.left, [*node.ops[:place], operator(), *node.ops[place + 1 :]], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        for place in range(len(node.values)):
            rest = [*node.values[:place], *node.values[place + 1 :]]
            yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
    elif isinstance(node, ast.BinOp):
        texts = any(isinstance(side, ast.JoinedStr) or _is_text(side) for side in (node.left, node.right))
        if type(node.op) in _COMPUTED and not texts and not _is_type(node):
            yield ast.BinOp(node.left, _COMPUTED[type(node.op)](), node.right)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        yield node.operand
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield ast.Constant(not node.value)
        elif isinstance(node.value, int | float):
            yield ast.Constant(node.value + 1)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)


def _statements(node: ast.stmt) -> Iterator[str]:
    """Yield what may be done in place of a statement."""
    if isinstance(node, ast.Return) and node.value is not None:
        if not (isinstance(node.value, ast.Constant) and node.value.value is None):
            yield "return None"
    elif isinstance(node, ast.Break):
        yield "continue"
    elif isinstance(node, ast.Continue):
        yield "break"
    elif isinstance(node, ast.Raise) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and not _is_log(node)
    ):
        yield "pass"
    elif isinstance(node, ast.AugAssign):
        yield "pass"
        if type(node.op) in _COMPUTED:
            other = copy.copy(node)
            other.op = _COMPUTED[type(node.op)]()
            yield ast.unparse(other)
