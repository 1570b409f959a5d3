"""Assistance rounds as machines without I/O: messages, selection, agreement, both roles.

``SPEC.md`` beside this file has the rules. Nothing in this package touches a socket, a file, a
clock, a random number or a tensor.
"""
