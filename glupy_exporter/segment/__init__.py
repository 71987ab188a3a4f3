"""Reading the segments that translators write.

Nothing here imports anything of the project but the schema.
"""
