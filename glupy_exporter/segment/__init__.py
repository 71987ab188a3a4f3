"""Reading the segments that translators write.

``header`` renders the schema as C for the translator, ``reader`` reads what that writes. Nothing
here imports anything of the project but the schema.
"""
