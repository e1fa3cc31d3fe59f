"""Graphs as text, to be kept in files."""

from actfun.carried.graph import Node, constant, leaf, ordered


def written(output: Node) -> str:
    """All of a graph: a line for each node, which names others by their lines, the output last."""
    line = {n: f"%{k}" for k, n in enumerate(ordered(output))}
    return "".join(" ".join((n.op, *(line.get(a) or str(a) for a in n.args))) + "\n" for n in line)


def read(text: str) -> Node:
    """The output of a graph that was written."""
    nodes: list[Node] = []
    for line in text.splitlines():
        op, *words = line.split(" ", 1 if line.startswith("input ") else -1)
        arguments = (nodes[int(word[1:])] if word.startswith("%") else word for word in words)
        nodes.append(constant(float(words[0])) if op == "constant" else leaf(op, *arguments))
    return nodes[-1]
