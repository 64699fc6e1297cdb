"""`traindoctor watch`: the user's unmodified script is the experiment.

A child process runs the script with instruments and writes a trace (`__main__`, `script`,
`imports`, `session` and what they use); the command-line process reads that trace while it grows
and judges it with the probes that `check` uses (`child`, `archive`, `judge`).
"""
