"""`python -m discovery`."""

from .cli import main

raise SystemExit(main())
