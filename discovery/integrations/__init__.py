"""The pools in the hands of other libraries: one file each."""
