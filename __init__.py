"""InstaGeo for QGIS: from labels in a project to a map on the canvas."""


def classFactory(iface: object) -> object:  # noqa: N802 - the name is QGIS's
    """Return the plugin object; QGIS calls this once when the plugin is loaded."""
    from .instageo_qgis.plugin import InstaGeoPlugin

    return InstaGeoPlugin(iface)
