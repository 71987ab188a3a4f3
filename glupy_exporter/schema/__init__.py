"""What is counted, said once: the numbers of a segment and the tables that hold them.

``quantities`` declares each number, ``layout`` the tables made of them, and ``version1`` the layout
of the release before. C structs, the reader, metrics, API, ``top`` and documents follow. Nothing
here imports anything else of the project.
"""
