"""How long tests wait for an event. The limits are only there to stop a hang."""

import time

PATIENCE_S = 150.0  # no machine takes so long, however busy


def until(look):
    """Look again and again until something is found; what was found."""
    end = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < end, f"waited {PATIENCE_S:g} s for {look}"
        time.sleep(0.005)
    return found
