"""One file a step. A step knows its instance by its `Site` and reaches the world only through ports."""
