"""Filling calls with heads: what they are asked for each slot, and what becomes of their answers."""
