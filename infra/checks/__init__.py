"""`make infra`: what deploys the service, each file judged offline by a real tool.

One module here a subject; it has one function, `check(root)`, which returns what is wrong under that folder, a line
each, and raises `NotChecked` where this machine has no tool that could tell.
"""
