"""``python -m parties`` is ``assistlearn``."""

from parties.cli import main

if __name__ == "__main__":
    main()
