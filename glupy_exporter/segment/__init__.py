"""The shared-memory contract between the translator and its readers.

``layout`` declares it, ``header`` renders it as C, ``reader`` reads it. Nothing here imports
anything else of the project.
"""
