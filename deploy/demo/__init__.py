"""The whole chain on one machine; `make demo` runs it."""
