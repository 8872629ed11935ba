"""The simulated world: objects, a virtual clock and faults that rehearsals run against."""
