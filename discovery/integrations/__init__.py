"""The pools in the hands of other libraries: a file or a package each, beside what all of them share."""
