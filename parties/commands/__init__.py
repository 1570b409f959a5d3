"""One file for each command: ``parties/commands/NAME.py`` holds a click command ``NAME``."""
