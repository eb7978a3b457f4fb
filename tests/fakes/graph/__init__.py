"""A Graph server of our own: it demands what Meta demands, answers like Meta and can fail like it.

In tests: `with FakeGraph() as graph: …`. By hand: `python -m tests.fakes.graph --help`, described in
docs/platforms/whatsapp.md.
"""

from tests.fakes.graph.failures import Failure
from tests.fakes.graph.rules import GraphError
from tests.fakes.graph.server import FakeGraph

__all__ = ["Failure", "FakeGraph", "GraphError"]
