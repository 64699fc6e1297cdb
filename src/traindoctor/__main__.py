"""`python -m traindoctor`."""

from traindoctor.cli.main import main

main()
