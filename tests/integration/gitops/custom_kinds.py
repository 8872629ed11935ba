"""Schemas of the custom kinds in the tree: no more than what the tree uses, and nothing beside it.

Written after the definitions of Flux 2.9 (helm-controller 1.6, source-controller 1.9, kustomize-controller
1.9), cert-manager 1.21, Istio 1.30, MetalLB 0.16, Karpenter 1.14, Argo CD 3.4 and Prometheus operator 0.93,
against which the tree was checked outside of this project on 2026-11-23.
"""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
TRUTH: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "integer"}
ANY: Schema = {"type": "object"}
DURATION: Schema = {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"}
# no range, no `latest`: what is installed is what is written here
VERSION: Schema = {"type": "string", "pattern": r"^v?[0-9]+\.[0-9]+\.[0-9]+$"}


def a(*required: str, **properties: Schema) -> Schema:
    """An object of these properties and no other; `required` must be there."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def some(items: Schema) -> Schema:
    """A list that is not empty."""
    return {"type": "array", "items": items, "minItems": 1}


def one_of(*values: str | bool) -> Schema:
    """One of these values."""
    return {"enum": list(values)}


def texts() -> Schema:
    """A list of texts."""
    return some(TEXT)


_LABELS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
_NAME = a("name", name=TEXT)
_NAMED = a("kind", "name", kind=TEXT, name=TEXT)
_STRATEGY = a("name", "retryInterval", name=one_of("RetryOnFailure"), retryInterval=DURATION)
_CRDS = one_of("CreateReplace", "Skip")
_SELECTOR = a("matchLabels", matchLabels=_LABELS)
_ISSUER = a("name", "kind", "group", name=TEXT, kind=TEXT, group=one_of("cert-manager.io"))
_KEY = a("algorithm", algorithm=one_of("ECDSA"), size=NUMBER, rotationPolicy=one_of("Always", "Never"))
_KIND = a("group", "kind", group={"type": "string"}, kind=TEXT)
_SERVER = a("server", "namespace", server=TEXT, namespace=TEXT)
_LISTENER = a("number", "name", "protocol", number=NUMBER, name=TEXT, protocol=one_of("HTTP", "HTTPS"))

_FLUX_SOURCES = {
    ("source.toolkit.fluxcd.io/v1", "OCIRepository"): a(
        "url",
        "ref",
        "interval",
        "timeout",
        "layerSelector",
        url={"type": "string", "pattern": "^oci://"},
        ref=a("tag", tag=VERSION),
        interval=DURATION,
        timeout=DURATION,
        layerSelector=a("mediaType", "operation", mediaType=TEXT, operation=one_of("copy")),
    ),
    ("source.toolkit.fluxcd.io/v1", "HelmRepository"): a(
        "url",
        "interval",
        "timeout",
        url={"type": "string", "pattern": "^https://"},
        interval=DURATION,
        timeout=DURATION,
    ),
    ("source.toolkit.fluxcd.io/v1", "GitRepository"): a(
        "url",
        "ref",
        "interval",
        "timeout",
        url={"type": "string", "pattern": "^(https|ssh)://"},
        ref={"oneOf": [a("branch", branch=TEXT), a("tag", tag=VERSION)]},
        interval=DURATION,
        timeout=DURATION,
        secretRef=_NAME,
        ignore=TEXT,
    ),
}
_FLUX = {
    ("helm.toolkit.fluxcd.io/v2", "HelmRelease"): {
        **a(
            "interval",
            "timeout",
            "install",
            "upgrade",
            interval=DURATION,
            timeout=DURATION,
            maxHistory=NUMBER,
            dependsOn=some(a("name", name=TEXT, namespace=TEXT)),
            chartRef=a("kind", "name", kind=one_of("OCIRepository"), name=TEXT),
            chart=a(
                "spec",
                spec=a(
                    "chart",
                    "sourceRef",
                    "interval",
                    chart=TEXT,
                    version=VERSION,
                    interval=DURATION,
                    sourceRef=a("kind", "name", kind=one_of("HelmRepository", "GitRepository"), name=TEXT),
                ),
            ),
            install=a("crds", "strategy", crds=_CRDS, strategy=_STRATEGY),
            upgrade=a(
                "crds", "strategy", "cleanupOnFail", crds=_CRDS, strategy=_STRATEGY, cleanupOnFail=TRUTH
            ),
            values=ANY,
            valuesFrom=some(a("kind", "name", kind=one_of("ConfigMap", "Secret"), name=TEXT)),
        ),
        "oneOf": [{"required": ["chart"]}, {"required": ["chartRef"]}],
    },
    ("kustomize.toolkit.fluxcd.io/v1", "Kustomization"): a(
        "path",
        "sourceRef",
        "prune",
        "wait",
        "interval",
        "retryInterval",
        "timeout",
        "postBuild",
        path=TEXT,
        sourceRef=_NAMED,
        prune=one_of(True),
        wait=one_of(True),
        deletionPolicy=one_of("WaitForTermination"),
        interval=DURATION,
        retryInterval=DURATION,
        timeout=DURATION,
        dependsOn=some(_NAME),
        postBuild=a("substituteFrom", substituteFrom=some(_NAMED)),
        decryption=a("provider", "secretRef", provider=one_of("sops"), secretRef=_NAME),
        healthCheckExprs=some(
            a("apiVersion", "kind", "current", apiVersion=TEXT, kind=TEXT, current=TEXT, inProgress=TEXT)
        ),
    ),
}
_CERTIFICATES = {
    ("cert-manager.io/v1", "ClusterIssuer"): {
        **a(selfSigned=a(), ca=a("secretName", secretName=TEXT)),
        "minProperties": 1,
        "maxProperties": 1,
    },
    ("cert-manager.io/v1", "Certificate"): a(
        "secretName",
        "issuerRef",
        "duration",
        "privateKey",
        secretName=TEXT,
        issuerRef=_ISSUER,
        duration=DURATION,
        renewBefore=DURATION,
        isCA=TRUTH,
        commonName=TEXT,
        dnsNames=texts(),
        privateKey=_KEY,
    ),
}
_NETWORK = {
    ("networking.istio.io/v1", "Gateway"): a(
        "selector",
        "servers",
        selector=_LABELS,
        servers=some(
            a(
                "port",
                "hosts",
                "tls",
                port=_LISTENER,
                hosts=texts(),
                tls=a(
                    httpsRedirect=TRUTH,
                    mode=one_of("SIMPLE"),
                    credentialName=TEXT,
                    minProtocolVersion=one_of("TLSV1_2", "TLSV1_3"),
                ),
            )
        ),
    ),
    ("networking.istio.io/v1", "VirtualService"): a(
        "gateways",
        "hosts",
        "http",
        gateways=texts(),
        hosts=texts(),
        http=some(
            a(
                "route",
                route=some(
                    a(
                        "destination",
                        destination=a("host", "port", host=TEXT, port=a("number", number=NUMBER)),
                    )
                ),
            )
        ),
    ),
    ("metallb.io/v1beta1", "IPAddressPool"): a("addresses", addresses=texts()),
    ("metallb.io/v1beta1", "L2Advertisement"): a("ipAddressPools", ipAddressPools=texts()),
}
_MACHINES = {
    ("karpenter.k8s.aws/v1", "EC2NodeClass"): a(
        "amiSelectorTerms",
        "instanceProfile",
        "subnetSelectorTerms",
        "securityGroupSelectorTerms",
        "tags",
        "metadataOptions",
        # a dated release: `@latest` would change machines by itself
        amiSelectorTerms=some(a("alias", alias={"type": "string", "pattern": r"^al2023@v[0-9]{8}$"})),
        instanceProfile=TEXT,
        subnetSelectorTerms=some(a("tags", tags=_LABELS)),
        securityGroupSelectorTerms=some(a("tags", tags=_LABELS)),
        tags={**_LABELS, "minProperties": 1},
        metadataOptions=a(
            "httpTokens",
            httpEndpoint=one_of("enabled"),
            httpTokens=one_of("required"),
            httpPutResponseHopLimit={"const": 1},
        ),
        blockDeviceMappings=some(
            a(
                "deviceName",
                "ebs",
                deviceName=TEXT,
                ebs=a(
                    "encrypted",
                    volumeSize=TEXT,
                    volumeType=one_of("gp3"),
                    encrypted={"const": True},
                    deleteOnTermination={"const": True},
                ),
            )
        ),
    ),
    ("karpenter.sh/v1", "NodePool"): a(
        "template",
        "limits",
        "disruption",
        limits=a("cpu", "memory", cpu=NUMBER, memory=TEXT),
        disruption=a(
            "consolidationPolicy", "consolidateAfter", consolidationPolicy=TEXT, consolidateAfter=DURATION
        ),
        template=a(
            "spec",
            spec=a(
                "nodeClassRef",
                "requirements",
                nodeClassRef=a("group", "kind", "name", group=TEXT, kind=TEXT, name=TEXT),
                expireAfter=DURATION,
                terminationGracePeriod=DURATION,
                requirements=some(
                    a("key", "operator", "values", key=TEXT, operator=one_of("In"), values=texts())
                ),
            ),
        ),
    ),
}
_APPLICATIONS = {
    ("argoproj.io/v1alpha1", "AppProject"): a(
        "sourceRepos",
        "destinations",
        "clusterResourceWhitelist",
        "namespaceResourceWhitelist",
        description=TEXT,
        sourceRepos=texts(),
        destinations=some(_SERVER),
        clusterResourceWhitelist={"type": "array", "maxItems": 0},
        namespaceResourceWhitelist=some(_KIND),
    ),
    ("argoproj.io/v1alpha1", "Application"): a(
        "project",
        "source",
        "destination",
        "syncPolicy",
        project=TEXT,
        source=a(
            "repoURL",
            "chart",
            "targetRevision",
            repoURL=TEXT,
            chart=TEXT,
            targetRevision=VERSION,
            helm=a(releaseName=TEXT, valuesObject=ANY),
        ),
        destination=_SERVER,
        syncPolicy=a(
            automated=a(prune=TRUTH, selfHeal=TRUTH),
            syncOptions=texts(),
            retry=a(limit=NUMBER, backoff=a(duration=DURATION, factor=NUMBER, maxDuration=DURATION)),
        ),
    ),
    ("monitoring.coreos.com/v1", "PodMonitor"): a(
        "selector",
        "podMetricsEndpoints",
        namespaceSelector=a("matchNames", matchNames=texts()),
        selector=_SELECTOR,
        podMetricsEndpoints=some(a(port=TEXT, portNumber=NUMBER, path=TEXT, interval=DURATION)),
    ),
}

SPECS: Mapping[tuple[str, str], Schema] = {
    **_FLUX_SOURCES,
    **_FLUX,
    **_CERTIFICATES,
    **_NETWORK,
    **_MACHINES,
    **_APPLICATIONS,
}
"""(apiVersion, kind) -> the schema of `spec`."""
