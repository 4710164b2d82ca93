"""The process of one repetition: `python -m bench.child CELL_JSON OUTPUT`.

The repetition goes to the file OUTPUT, because peers print what they like. The exit code is 0
whenever the file was written, whatever it says.

There is nothing at the top of this module because it is the program's main module: the workers of
several peers import that, and must not be charged for the harness.
"""

if __name__ == "__main__":
    import sys

    from bench.repetition import main

    main(*sys.argv[1:])
