"""Learning to defer: which of several fixed agents should answer which example."""
