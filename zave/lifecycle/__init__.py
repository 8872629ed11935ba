"""Whole verbs over one instance: plan, up, down, sweep, drift. Emits events, prints nothing."""
