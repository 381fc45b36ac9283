"""The interpreter of the installed runtime, for tests that compare our operator with it."""

try:
    from ai_edge_litert.interpreter import Interpreter

    REFERENCE_PX = 0.57
except ImportError:
    from tflite_runtime.interpreter import Interpreter

    REFERENCE_PX = 1.8
"""How near Coral's 8 bit network comes to its own reference: tflite-runtime's kernels for
whole numbers round in other places."""

__all__ = ["REFERENCE_PX", "Interpreter"]
