"""Both parties in one place: sessions and baselines on the same data, seed by seed."""
