"""The command line: a root, one file a verb, one error boundary, one composition root."""
