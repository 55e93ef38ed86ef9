"""The verbs in Python, one file a verb: load, compress, evaluate. The command line is made of these."""
