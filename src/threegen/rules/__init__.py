"""The learning rules, one file each; `rule.py` says what a rule is."""
