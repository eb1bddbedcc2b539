"""From a model file and a raster to a map."""
