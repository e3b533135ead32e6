"""What both command lines share: exit codes, progress, and how a result is printed."""
