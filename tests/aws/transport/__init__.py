"""The transports, against servers scripted byte by byte."""
