"""``assistlearn demo``: two real parties on this machine, on data that are installed with it."""
