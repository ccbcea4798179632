"""Write and read XML without document types, and so without the entities of a hostile file."""

from xml.etree import ElementTree as Tree

from hyperfed.errors import SchemaError

__all__ = ["parsed", "text_of"]


def text_of(root: Tree.Element) -> bytes:
    """Return a document as UTF-8, indented."""
    Tree.indent(root, " ")
    data: bytes = Tree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def parsed(data: bytes, kind: str) -> Tree.Element:
    """Return a document's root, its tags without their namespaces.

    Raises SchemaError where it is no XML, is not of this kind, or has a document type: entities
    could make a small file large.
    """
    subject = f"{kind} file"
    text = data.decode("utf-8-sig")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise SchemaError(
            "has a document type",
            subject=subject,
            remedy="Take its <!DOCTYPE ...> out; the format needs none",
        )
    try:
        root = Tree.fromstring(text.encode())  # noqa: S314 - without a document type no entity
    except Tree.ParseError as exc:
        raise SchemaError(f"is not XML: {exc}", subject=subject) from exc
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    if root.tag != kind:
        raise SchemaError(f"has the root {root.tag!r:.40}, not {kind!r}", subject=subject)
    return root
