"""The types that zave's modules make, and those that AWS and a cluster's controllers make by themselves.

In the order in which they can be deleted, as far as there is one. Calls and fields: botocore's models
1.44 of 2026-11; what is left behind and how it is marked: aws.md of 2026-11-23, section 3.
"""

from zave.aws.live.kinds_compute import CLUSTERS, MACHINES
from zave.aws.live.kinds_network import BALANCERS, NETWORKS
from zave.aws.live.kinds_services import IDENTITIES, SERVICES
from zave.aws.live.listing import Kind

KINDS: tuple[Kind, ...] = (*CLUSTERS, *MACHINES, *BALANCERS, *SERVICES, *IDENTITIES, *NETWORKS)
"""All of them, each a list of its own: they are asked side by side."""
