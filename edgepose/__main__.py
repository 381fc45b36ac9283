"""Lets ``python -m edgepose`` do what ``edgepose`` does."""

from edgepose.cli import main

raise SystemExit(main())
