"""The declarations of what a segment holds: its numbers and the tables made of them.

``quantities`` declares each number, ``layout`` the tables, ``version1`` the layout of the release
before, ``option_table`` the options of a volume. C structs, the reader, metrics, API, ``top`` and
documents are made from these. Nothing here imports anything else of the project.
"""
