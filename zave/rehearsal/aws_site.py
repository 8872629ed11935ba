"""Where the machines of a rehearsed EKS cluster are: in the simulated account."""

from collections.abc import Sequence

from zave.ports import Node
from zave.rehearsal import aws_parts, aws_services
from zave.rehearsal.aws_family import INSTANCE, cluster_of, tags_of
from zave.rehearsal.flux_state import Held
from zave.rehearsal.gate import Gate
from zave.rehearsal.ledger import Ledger
from zave.rehearsal.things import Thing
from zave.rehearsal.world import World


class AwsSite:
    """EKS: AWS runs the control plane, and the cluster makes things in the account by itself."""

    def __init__(self, world: World) -> None:
        self._world = world

    def control_plane(self, instance: str) -> Thing | None:
        """The instance's cluster. Raises as `Gate` does when the account cannot be reached."""
        clusters = self._world.things(kind="aws_eks_cluster")
        mine = next((each for each in clusters if tags_of(each).get(INSTANCE) == instance), None)
        if mine is not None:
            # the cluster's tokens are made of the AWS credentials
            Gate(self._world, region=aws_parts.region_and_account(mine)[0]).ask("eks", "DescribeCluster")
        return mine

    def nodes(self, instance: str) -> Sequence[Node]:
        """The instances that joined the cluster, by their private names."""
        cluster = self.control_plane(instance)
        if cluster is None:
            return []
        machines = [
            each
            for each in self._world.things(provider="aws")
            if each.type == "aws_instance" and cluster_of(each) == cluster.name
        ]
        return [
            Node(
                name=str(each.attributes.get("private_dns") or each.name),
                role="worker",
                address=str(each.attributes.get("private_ip") or ""),
                state="Ready" if each.state == "present" else "NotReady",
            )
            for each in machines
        ]

    def joined_at(self, machine: Thing) -> float:
        """As soon as EKS says that the cluster is active."""
        return machine.ready_at.timestamp()

    def answers(self, machine: Thing) -> bool:
        """Whether the cluster is active."""
        return machine.state == "present"

    def provide(
        self, ledger: Ledger, machine: Thing, *, claims: Sequence[Held], surge: int
    ) -> Sequence[Held]:
        """A load balancer, volumes, and Karpenter's nodes for a surge. Two claims stand for all."""
        return aws_services.provide(ledger, machine, nodes=surge)

    def let_go(self, machine: Thing, held: Held) -> None:
        """Its controller deletes in AWS what a Service, a claim or a node pool holds."""
        aws_services.let_go(self._world, machine, held)
