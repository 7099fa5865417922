"""A simulated vLLM server: real HTTP on a real port, vLLM's dialect, answers that say they are simulated.

For the first run without a GPU and for every test. It is reached by URL only, as a real server is;
docs/model-server.md describes its options, directives, faults and what about it is assumed.
"""

from sandbox.model.command import add_arguments, run

__all__ = ["add_arguments", "run"]
