"""Open a layered document by its suffix and read the opacity of one layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from unicodedata import normalize

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.layered.coverage import LayerReading, read_coverage
from guidedstyle.io.layered.krita import open_krita
from guidedstyle.io.layered.layer import GROUP, LayeredDocument, ListedLayer
from guidedstyle.io.layered.openraster import open_openraster
from guidedstyle.io.layered.photoshop import open_photoshop
from guidedstyle.types import LayerOpacity, Pixels

OPENERS: dict[str, Callable[[Path], LayeredDocument]] = {
    ".ora": open_openraster,
    ".psd": open_photoshop,
    ".psb": open_photoshop,
    ".kra": open_krita,
}
UNREAD = {".xcf": "GIMP", ".clip": "Clip Studio Paint", ".afphoto": "Affinity Photo", ".procreate": "Procreate"}


def is_layered(file: Path) -> bool:
    """Return whether a file is a layered document by its suffix, even of a format that cannot be read."""
    return file.suffix.lower() in {**OPENERS, **UNREAD}


def open_layered(file: Path) -> LayeredDocument:
    """Open a layered document; its layers are decoded when they are read.

    Raises GuidedStyleError if it is damaged, or of a format that cannot be read.
    """
    suffix = file.suffix.lower()
    if suffix in UNREAD:
        rule = f"layers of {UNREAD[suffix]}'s own files cannot be read"
        raise GuidedStyleError.of(file, rule, "export it as .psd or .ora, or the layer as .png")
    try:
        return OPENERS[suffix](file)
    except RecursionError as error:
        raise GuidedStyleError.of(file, "its groups are nested too deeply", "flatten some of them") from error


def read_layer(document: LayeredDocument, name: str, opacity: LayerOpacity | None = None) -> Pixels:
    """Decode what a layer covers (H, W), 8 bits, as `inspect_layer` does, without its warnings."""
    return inspect_layer(document, name, opacity).alpha


def inspect_layer(document: LayeredDocument, name: str, opacity: LayerOpacity | None = None) -> LayerReading:
    """Decode what a layer covers, with what limits it; `opacity` says whether opacity settings count.

    `name` is that of the layer or, if several have it, `group/layer`. An empty layer is 0 everywhere. Raises
    GuidedStyleError if there is no such layer, or if it is a group, or of a kind that is not read.
    """
    return read_coverage(document, _find_layer(document, name), opacity)


def _find_layer(document: LayeredDocument, name: str) -> ListedLayer:
    found = next(filter(None, _match(document, name)), [])
    if not found:
        names = ", ".join(layer.path for layer in document.layers if not layer.problem) or "none"
        raise GuidedStyleError.of(document.file, f"there is no layer {name!r}", f"its layers are: {names}")
    if len(found) > 1:
        paths = ", ".join(layer.path for layer in found)
        rule = f"{len(found)} layers are called {name!r}: {paths}"
        distinct = len({layer.path for layer in found}) > 1
        remedy = "rename one, or write its group too: group/layer" if distinct else "rename one"
        raise GuidedStyleError.of(document.file, rule, remedy)
    for layer in found[0].chain[::-1]:
        if layer.problem and (layer is found[0].layer or layer.problem != GROUP):
            whose = f"layer {name!r}" if layer is found[0].layer else f"layer {name!r} is in {layer.name!r}, which"
            raise GuidedStyleError.of(document.file, f"{whose} is {layer.problem}", layer.remedy)
    return found[0]


def _match(document: LayeredDocument, name: str) -> Iterator[list[ListedLayer]]:
    """Find the layers of a path or a name, then without regard to spaces around it, which no program shows."""
    name = normalize("NFC", name)  # accents may be letters of their own in one of the two
    for strip in (False, True):
        for whole in (True, False):
            names = ((layer, normalize("NFC", layer.path if whole else layer.name)) for layer in document.layers)
            yield [layer for layer, one in names if (_strip(one) == _strip(name) if strip else one == name)]


def _strip(path: str) -> str:
    return "/".join(part.strip() for part in path.split("/"))
