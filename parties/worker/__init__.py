"""The worker: the process of a party that has the task and the data, and never the network."""
