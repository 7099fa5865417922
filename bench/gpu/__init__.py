"""Forma and bare vLLM side by side on one GPU: `python -m bench.gpu SHAPE` (docs/development.md says how to run it)."""
