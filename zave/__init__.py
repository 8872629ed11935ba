"""zave: one platform in two places, a free home lab and an AWS demo that cannot outlive its TTL."""

__version__ = "0.1.0"
