"""Packages of Node.js: locks and names in, a registry out that `npm ci` and `npm install` take for the real one.

A lock of any kind is read into one graph (`graph.py`); each platform's machine walks it, and so every platform gets its
own optional binaries, and a lock that was made for another one is found out before it travels.
"""
