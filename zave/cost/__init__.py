"""What an AWS demo costs: before (`estimate`), while it runs (`meter`) and against 24/7 (`savings`).

Pure functions over data: no module here asks AWS, reads a clock or knows where an inventory comes from.
"""
