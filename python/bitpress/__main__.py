"""``python -m bitpress`` is ``bitpress``."""

from .cli import main

if __name__ == "__main__":
    main()
