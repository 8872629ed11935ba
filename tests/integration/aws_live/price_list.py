"""AWS's answers about prices in their documented shape, from a server on loopback.

Shapes: API references of the Price List (GetProducts), EC2 (DescribeSpotPriceHistory) and EKS
(DescribeClusterVersions), as botocore's models 1.44 have them.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from zave.aws.live.api import Api

_PAGE = 2


@dataclass
class PriceList:
    """What the server tells. `refuse` are services whose lists nobody may see."""

    products: list[dict[str, Any]] = field(default_factory=list)
    spot: list[tuple[str, str, str]] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)
    refuse: set[str] = field(default_factory=set)
    asked: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""
    api: Api | None = None

    def add(self, service: str, usage: str, *tiers: tuple[str, str], **attributes: str) -> None:
        """A product with its tiers, each (begin of its range, USD); the family is an attribute here."""
        family = attributes.pop("family", "Compute Instance")
        sku = f"SKU{len(self.products)}"
        dimensions = {
            f"{sku}.TERM.{number}": {
                "unit": "Hrs",
                "beginRange": begin,
                "endRange": "Inf",
                "rateCode": f"{sku}.TERM.{number}",
                "appliesTo": [],
                "pricePerUnit": {"USD": usd},
            }
            for number, (begin, usd) in enumerate(tiers)
        }
        product = {
            "sku": sku,
            "productFamily": family,
            "attributes": {"servicecode": service, "usagetype": usage, **attributes},
        }
        term = {"sku": sku, "effectiveDate": "2026-12-01T00:00:00Z", "priceDimensions": dimensions}
        self.products.append(
            {
                "product": product,
                "serviceCode": service,
                "terms": {
                    "OnDemand": {f"{sku}.TERM": term},
                    # what is paid beforehand is no rate of ours
                    "Reserved": {f"{sku}.R": {**term, "priceDimensions": {}}},
                },
                "version": "20261201",
                "publicationDate": "2026-12-01T12:00:00Z",
            }
        )

    def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """GetProducts, in pages."""
        wanted = {each["Field"]: each["Value"] for each in asked["Filters"]}
        found = [
            json.dumps(each)
            for each in self.products
            if each["serviceCode"] == asked["ServiceCode"]
            and wanted.items() <= each["product"]["attributes"].items()
        ]
        begin = int(asked.get("NextToken") or 0)
        answer: dict[str, Any] = {"FormatVersion": "aws_v1", "PriceList": found[begin : begin + _PAGE]}
        if begin + _PAGE < len(found):
            answer["NextToken"] = str(begin + _PAGE)
        return answer

    def spot_history(self, types: list[str]) -> str:
        """DescribeSpotPriceHistory."""
        items = "".join(
            f"<item><instanceType>{type_}</instanceType><productDescription>Linux/UNIX</productDescription>"
            f"<spotPrice>{usd}</spotPrice><timestamp>2026-12-01T00:00:00.000Z</timestamp>"
            f"<availabilityZone>{zone}</availabilityZone></item>"
            for type_, zone, usd in self.spot
            if type_ in types
        )
        return (
            '<DescribeSpotPriceHistoryResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
            f"<spotPriceHistorySet>{items}</spotPriceHistorySet><nextToken></nextToken>"
            "</DescribeSpotPriceHistoryResponse>"
        )


@contextmanager
def price_list() -> Iterator[PriceList]:
    """A server that runs as long as the block."""
    told = PriceList()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing."""

        def do_GET(self) -> None:
            self._send(json.dumps({"clusterVersions": told.versions}), "application/json")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if self.headers.get("X-Amz-Target"):
                asked = json.loads(body)
                told.asked.append(asked)
                if asked["ServiceCode"] in told.refuse:
                    error = {"__type": "AccessDeniedException", "message": "not for you"}
                    self._send(json.dumps(error), "application/x-amz-json-1.1", status=400)
                    return
                self._send(json.dumps(told.answer(asked)), "application/x-amz-json-1.1")
                return
            given = parse_qs(body)
            types = [values[0] for name, values in given.items() if name.startswith("InstanceType.")]
            self._send(told.spot_history(types), "text/xml")

        def _send(self, text: str, kind: str, *, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
