"""The ports of `zave/ports/cloud.py` over boto3: what zave itself says to AWS."""
