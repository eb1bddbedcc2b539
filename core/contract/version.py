"""The product's version; a test holds it equal to the one in `metadata.txt`."""

__version__ = "0.1.0"
SOFTWARE = f"InstaGeo for QGIS {__version__}"
