"""The converter's own revision."""

# Part of every cache key and of a file's `about`. Raise it when the same checkpoint would give other bytes than before.
CONVERTER = "embedrt_convert/4"
