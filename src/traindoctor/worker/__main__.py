"""`python -m traindoctor.worker`: started by the supervisor, never by hand."""

from traindoctor.worker.main import main

main()
