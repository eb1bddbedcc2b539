"""What both sides of the process boundary share. Standard library only, Python 3.9 or later."""
