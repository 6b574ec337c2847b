"""Start `lair` as `python -m launcher`, which is how the supervisor starts its children."""

from launcher.cli import main

main()
