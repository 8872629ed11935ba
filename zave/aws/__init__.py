"""AWS: what zave knows of it and does in it, over the ports of `zave/ports/cloud.py`."""
