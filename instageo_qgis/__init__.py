"""The QGIS face: plugin, provider, settings."""
