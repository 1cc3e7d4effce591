"""What a student is given in place of a solution's code: the names that the checks of it use."""

import ast
import symtable
from collections.abc import Iterator

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def stub(title: str, solution: list[str], checks: list[str]) -> str:
    """One cell that ends in `NotImplementedError`, from the sources of the solution and of its checks."""
    wanted = _used("\n".join(checks))
    imports, values, functions = [], [], []
    for statement in ast.parse("\n".join(solution)).body:
        names = [name for name in _bound(statement) if name in wanted]
        if isinstance(statement, ast.Import | ast.ImportFrom):
            kept = [each for each in statement.names if (each.asname or each.name) in wanted]
            if kept:
                statement.names = kept
                imports.append(ast.unparse(statement))
        elif isinstance(statement, DEFINITIONS) and names:
            functions.append(_signature(statement))
        else:
            values += [name for name in names if name not in values]
    lines = [f"# {title}: replace this cell by your own."]
    if values or functions:
        lines.append("# The cell after it checks what is named here.")
    lines += imports + [f"{name} = ..." for name in values]
    end = f"raise NotImplementedError({title!r})"
    if not functions:
        return "\n".join([*lines, end])
    return "\n".join([*lines, *(f"\n\n{function}" for function in functions), "\n", end])


def _signature(statement: ast.stmt) -> str:
    """A definition without its body; a default that the solution computes is left open."""
    statement.decorator_list = []
    statement.body = ast.parse(f"raise NotImplementedError({statement.name!r})").body
    if not isinstance(statement, ast.ClassDef):
        arguments = statement.args
        for defaults in (arguments.defaults, arguments.kw_defaults):
            defaults[:] = [
                value if value is None or isinstance(value, ast.Constant) else ast.Constant(...)
                for value in defaults
            ]
    return ast.unparse(statement)


def _bound(statement: ast.stmt) -> list[str]:
    """The names that a statement binds, in order."""
    if isinstance(statement, DEFINITIONS):
        return [statement.name]
    found = []
    for node in _outside_functions(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.append(node.id)
        elif isinstance(node, DEFINITIONS):
            found.append(node.name)
    return list(dict.fromkeys(found))


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it, but for what stands in a scope of its own."""
    yield node
    inner = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, *DEFINITIONS)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, inner):
            yield from [child] if isinstance(child, DEFINITIONS) else []
        else:
            yield from _outside_functions(child)


def _used(source: str) -> set[str]:
    """The names that code takes from cells before it."""
    used, own = set(), set()
    for statement in ast.parse(source).body:
        used |= _free(symtable.symtable(ast.unparse(statement), "check", "exec")) - own
        own |= set(_bound(statement))
    return used


def _free(table: symtable.SymbolTable) -> set[str]:
    """The global names that a scope and those inside it read."""
    top = table.get_type() == "module"
    found = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_referenced() and (top or symbol.is_global())
    }
    return found.union(*map(_free, table.get_children()))
