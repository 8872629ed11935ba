"""Programs that zave drives: one class a program, typed keyword-only verbs, a minimum version."""
