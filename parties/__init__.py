"""Processes: learner, provider, simulation and the command line.

The only package with sockets, clocks and other processes.
"""
