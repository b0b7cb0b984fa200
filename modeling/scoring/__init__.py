"""Encrypted scoring: pure, over bytes; who asks whom, and who may, is the node's.

Scores are inner products in fixed point, computed exactly under encryption (docs/adr/0007-scores-are-exact.md).
"""
