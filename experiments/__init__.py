"""Studies: one script or settings file each, results beside them. Nothing imports this package."""
