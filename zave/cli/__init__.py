"""The command line: a root, one file a verb, one error boundary, one composition root."""

import gc
import sys

# a command makes its objects once and ends: looking for garbage among them 30 times costs 15 ms
gc.set_threshold(100_000, 20, 20)
# a step's thread that starts a program must not wait 5 ms for each turn while another one renders
sys.setswitchinterval(0.0005)
