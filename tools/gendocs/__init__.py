"""The parts of the documentation that are generated, and the check that they are current.

    python -m tools.gendocs            # write everything anew that is out of date
    python -m tools.gendocs --check    # say what is out of date; exit code 1

A page holds two kinds of generated text. A block between ``<!-- generated: NAME ARGUMENTS -->`` and
``<!-- /generated -->`` comes from the program, the cards of the shipped models, or CONTRIBUTING
(`tools.gendocs.blocks`). The output in a console block comes from running its commands
(`tools.gendocs.console`).
"""
