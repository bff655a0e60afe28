"""``python -m howdah``: the same as the program ``howdah``."""

from howdah.cli import main

if __name__ == "__main__":
    main()
