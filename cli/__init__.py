"""Commands, the composition root, the supervisor of `forma up` and the embedded servers."""
