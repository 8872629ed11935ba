"""Steps as a graph: what must run and why, and running it. Knows no tool by name."""
