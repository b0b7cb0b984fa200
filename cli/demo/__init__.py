"""The demonstration: a hub and three nodes as real processes over real loans."""
