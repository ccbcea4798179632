"""The links of a bundle as their client opens them, and a source of one link."""

from hyperfed.links.bundle import Links, open_links
from hyperfed.links.issuing import LinkIssuer
from hyperfed.testing.federation import SmallFederation


def links_of(fed: SmallFederation, issuer: LinkIssuer, client: str) -> Links:
    data = issuer.bundle(client).data
    return open_links(
        data,
        federation=fed.registry.federation,
        client=client,
        key_pair=fed.keys[client],
        coordinator_key=fed.registry.coordinator_key,
    )


class OneLink:
    """The same URL for everything."""

    def __init__(self, url: str) -> None:
        self._url = url

    def url(self, method: str, key: str) -> str:
        return self._url

    def readable(self, prefix: str) -> list[str]:
        return ["a/k"]
