"""Attacks on the running product. The simulator's journal is the truth that our records are held against."""
