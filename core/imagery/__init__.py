"""Rasters as they are: grids, scenes and timesteps, masks, Cloud Optimized GeoTIFFs, styles."""
