"""Flux in a real cluster: what it has applied, what holds something outside, how it is put to rest."""
