"""`python -m traindoctor`."""

import sys

try:
    from traindoctor.cli.main import main

    main()
except KeyboardInterrupt:  # before `main` could say so
    sys.exit(130)
