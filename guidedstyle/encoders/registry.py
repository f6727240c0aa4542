"""The encoders by name. A new family is a module that describes it, and a line in FAMILIES. Without torch."""

from __future__ import annotations

from guidedstyle.encoders import squeezenet, vgg
from guidedstyle.encoders.architecture import Architecture, Embedded

FAMILIES = (  # in the order in which they are offered, the default first
    vgg.LITE,
    vgg.VGG19,
    vgg.VGG16,
    squeezenet.SQUEEZENET,
    squeezenet.SQUEEZENET_1_1,
)

_KNOWN = {architecture.name: architecture for architecture in FAMILIES}


def register(architecture: Architecture) -> None:
    """Add an encoder, so that recipes can name it; one of the same name is replaced."""
    _KNOWN[architecture.name] = architecture


def unregister(name: str) -> None:
    """Remove an encoder that was added."""
    del _KNOWN[name]


def list_encoders() -> list[str]:
    """List the names of all encoders, the default first."""
    return list(_KNOWN)


def find_architecture(name: str) -> Architecture:
    """Return the description of an encoder; raises KeyError where there is none of that name."""
    return _KNOWN[name]


def describe_encoder(name: str) -> str:
    """Describe an encoder in Markdown: its name, and whether its weights are part of this package."""
    return f"`{name}`{' (embedded)' if isinstance(_KNOWN[name].source, Embedded) else ''}"


def find_embedded() -> str:
    """Return the name of an encoder whose weights are part of this package."""
    return next(name for name, architecture in _KNOWN.items() if isinstance(architecture.source, Embedded))
